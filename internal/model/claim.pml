/* One key of a dedupe store, and the receivers that get copies of its delivery.
 *
 * A sender repeats each copy until it gets an answer of 2xx. The environment has
 * FAULTS faults in all: a process that dies, a handler that fails, a lease that
 * ends while its worker still runs. Each inline is an atomic step of the code
 * that its comment names. Time is not modelled. A lease may end at any moment,
 * and the TTL is longer than all retries.
 *
 * With TX the effect and the completion are one transaction. Without it, the
 * effect comes first. The other macros are wrong variants.
 */
#define COPIES 3
#ifndef FAULTS
#define FAULTS 2
#endif

mtype = { free, claimed, completed };

mtype state = free; /* of the key */
bool live;          /* its lease or TTL runs; if not, the key counts as free */
byte mark;          /* the token of its claim */
byte last;          /* the latest token */

byte effects;       /* how often the handler took effect */
byte windows;       /* how often it may take effect again, as documented */
byte answers;       /* copies whose sender has got 2xx */
byte faults = FAULTS;
bool orphan;        /* the process that holds the claim has died */
hidden mtype was;   /* what STEP compares, which is no state */
hidden byte by;
hidden byte fenced;

#define TAKEN  (state != free && live)
#define FENCED (TAKEN && mark != mine) /* another claim is active or completed */

/* fenced wraps a step. A worker that another claim has fenced changes nothing. */
#define STEP(step)                                                                     \
	d_step {                                                                       \
		was = state; by = mark; fenced = FENCED;                               \
		step;                                                                  \
		assert(!fenced || state == was && mark == by && live);                 \
	}

/* The key is free, or another worker handles it (409), or it is a duplicate.
 * Go: dedupe/memory.go Memory.claim
 * Go: dedupe/sqldedupe/store.go Store.claim
 * Go: receiver/claim.go Receiver.claim */
inline claim() {
	atomic {
		if
#ifdef CLAIM_IGNORES_LEASE
		:: state != completed ->
#else
		:: !TAKEN ->
#endif
			assert(mine == 0);
			last++;
			mine = last; mark = last; state = claimed; live = true; orphan = false;
#ifdef REMEMBER_BEFORE_HANDLE
			state = completed
#endif
		:: TAKEN && state == completed -> answer(); goto done
		fi
	}
}

/* A renewal tells the worker whether it still holds the claim.
 * Go: dedupe/memory.go Memory.Renew
 * Go: dedupe/sqldedupe/store.go Store.Renew
 * Go: receiver/claim.go leaseRenewer.renew */
inline renew() {
#ifdef RENEW_WITHOUT_TOKEN
	STEP(live = true; mark = mine; lost = false)
#else
	STEP(lost = !(TAKEN && state == claimed && mark == mine))
#endif
}

/* The handler runs.
 * Go: receiver/serve.go Receiver.handle */
inline handle() { effects++ }

/* Go: dedupe/memory.go Memory.complete
 * Go: dedupe/sqldedupe/store.go Store.complete
 * Go: receiver/claim.go Receiver.complete */
inline complete() {
#ifdef COMPLETE_WITHOUT_FENCE
	STEP(lost = false; state = completed; mark = mine; live = true)
#else
	STEP(lost = FENCED;
		if :: !lost -> state = completed; mark = mine; live = true :: else fi)
#endif
}

/* The effect and the completion commit together, or neither does. A claim that
 * an earlier transaction has completed is refused.
 * Go: dedupe/sqldedupe/tx.go Store.completeAndRun
 * Go: dedupe/sqldedupe/tx.go Store.completeTx */
inline completeInTx() {
#ifdef COMPLETE_WITHOUT_FENCE
	STEP(effects++; lost = false; state = completed; mark = mine; live = true)
#else
	STEP(lost = FENCED;
		if
		:: !lost && !(TAKEN && state == completed) -> effects++; state = completed; mark = mine; live = true
		:: else
		fi)
#endif
}

/* The handler has failed, or its lease is lost.
 * Go: dedupe/memory.go Memory.Release
 * Go: dedupe/sqldedupe/store.go Store.Release
 * Go: receiver/claim.go Receiver.giveUp */
inline release() {
#ifdef RELEASE_WITHOUT_TOKEN
	STEP(state = free)
#else
	STEP(if :: !FENCED && !(TAKEN && state == completed) -> state = free :: else fi)
#endif
	mine = 0
}

/* The sender gets 200. Something has taken effect by then.
 * Go: receiver/serve.go Receiver.handleClaimed */
inline answer() { assert(effects > 0); answers++ }

/* The process dies. Its sender tries again.
 * Go: receiver/internal/crashtest/crash_test.go TestCrash */
inline crash(after) {
	atomic {
		faults > 0 -> faults--;
		windows = windows + after;
		if :: TAKEN && state == claimed && mark == mine -> orphan = true :: else fi;
		mine = 0
	}
}

active [COPIES] proctype Copy() {
	byte mine; bool lost;
again:
	lost = false;
	claim();
	if
	:: crash(0); goto again
	:: atomic { faults > 0 -> faults-- }; release(); goto again /* the handler fails */
	:: renew(); if :: lost -> release(); goto again :: else fi
	:: skip
	fi;
#if defined(TX) && !defined(EFFECT_OUTSIDE_TX)
	completeInTx();
#else
	handle();
	if :: crash(1); goto again :: skip fi;
	complete();
#endif
	if
	:: lost -> mine = 0; goto again /* 409, and the sender tries again */
	:: crash(0); goto again         /* after the commit, before the answer */
	:: !lost -> answer()
	fi;
done:
	mine = 0
}

/* Leases end by the store's clock.
 * Go: dedupe/entry.go entry.liveAt
 * Go: dedupe/memory.go Memory.now */
inline expire() {
	atomic {
		if
#ifndef LEASE_OUTLIVES_CRASH
		:: TAKEN && state == claimed && orphan -> orphan = false
#endif
		:: TAKEN && state == claimed && !orphan && faults > 0 -> faults--; windows++
		fi;
		live = false
	}
}

active proctype Clock() {
end:	do :: expire() od
}

#ifdef TX
ltl once { [] (effects <= 1) }
#else
ltl once { [] (effects <= 1 + windows) }
#endif
ltl stays { [] (state == completed && live -> [] (state == completed && live)) }
ltl answered { <> (answers == COPIES) }
