// Package sim simulates years of faults. It makes a world from a seed, inside a
// bubble of testing/synctest, and runs thousands of seeds. A world consists of
// processes that run the product's own code, a network that injects faults, and
// events from outside such as kills and rotations.
//
//	var flags = sim.NewFlags(200)
//
//	func TestSimulation(t *testing.T) {
//		flags.Run(t, sim.Simulation{Build: build, Expect: append(sim.NetworkFaults(), "kill", "claim fresh")})
//	}
//
//	func build(w *sim.World) {
//		clock := sim.NewClock()
//		start := func(p *sim.Process) {
//			l, err := p.Listen("10.0.0.1:80")      // the network's listener
//			server := &http.Server{Handler: …}     // the product
//			p.Go(func() { _ = server.Serve(l) })
//			p.AtEnd(func() { _ = server.Close() }) // ends the goroutines of a dead process
//		}
//		server := w.Start("receiver", clock, start)
//		w.Start("platform", clock, func(p *sim.Process) {
//			s, err := sender.New(sender.AllowNetworks(netip.MustParsePrefix("10.0.0.0/8")))
//			sim.UseDialer(s, p.DialContext)        // http://10.0.0.1/ now goes over the network
//			p.AtEnd(func() { _ = s.Close() })
//			p.Go(func() { … s.Deliver(p.Context(), …) })
//		})
//		w.Net.Disturb(sim.Even(0.3))               // 30 % of the requests meet a fault
//		w.Plan(time.Minute, "kill", server.Kill)
//		w.Plan(2*time.Minute, "restart", func() { server = w.Start("receiver", clock, start) })
//		w.Plan(time.Hour, "calm", func() { w.Net.Disturb(nil) })
//		w.Always(func() { … w.Violate("lost %s", id) })
//		w.Play(2 * time.Hour)
//	}
//
// # What is the same for a seed
//
// World.Rand gives a stream of random numbers for each name. Faults and outside
// events come from these streams, and Play injects events when all goroutines
// are durably blocked. The order in which Go runs goroutines is not part of a
// seed. The run therefore repeats a seed that failed and prints how often it
// failed again.
//
// # Rules for a world
//
//   - Everything happens in the bubble's time, and time.Sleep is fine.
//   - Nothing may sleep while it holds a lock that another goroutine waits for.
//     A goroutine that waits for a sync.Mutex is not durably blocked, so the
//     time stands still. If it does so for two minutes of real time, the test
//     ends. It prints the seed, and first of all the stacks of the goroutines
//     that are not durably blocked.
//   - A store that hangs must return when its context ends.
//   - A dead process may run a little longer, because Go can't end a goroutine.
//     What it shares with others must ask Process.Alive and refuse.
//   - Build must end all goroutines of the world. Those of a process end with
//     Process.Context and AtEnd, at the latest after Build. A goroutine that is
//     left fails the seed.
//   - Use World.Violate instead of the testing.T. Name faults and transitions
//     with World.Fault and World.Cover, and list them in Simulation.Expect. A
//     run of 2000 seeds or more fails if it never saw one of them.
//
// # Flags
//
//	-sim.seeds 10000   how many seeds
//	-sim.for 30m       new seeds for that long
//	-sim.seed 4711     one seed, with its log
//	-sim.again 100     how often a failing seed is repeated
//	-sim.bugs .        put known bugs back, see Flags.Bugs
package sim
