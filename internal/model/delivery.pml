/* One event, its delivery to one endpoint, and the processes of an outbox.
 *
 * A platform publishes the event and an operator disables and enables the
 * endpoint, replays the delivery and publishes a newer event of the deployment.
 * A job says when a process works on the delivery. The environment has FAULTS
 * faults in all: a process that dies, and a job that is rescued although its
 * process still runs. Each inline is an atomic step of the code that its comment
 * names. Time is not modelled. A retry may be due at any moment.
 *
 * Macros choose wrong variants.
 */
#ifndef FAULTS
#define FAULTS 1
#endif
#ifndef ORDERS
#define ORDERS 2 /* of the operator */
#endif
#define ATTEMPTS 2 /* of the schedule */
#define JOBS 5       /* the first, and one for each order, from 1 */

mtype = { none, pending, delivered, failed, canceled, superseded }; /* states */
mtype = { waiting, running };                                        /* jobs */

mtype state = none; /* of the delivery */
byte job;           /* the delivery's own job */
byte step;          /* in the schedule */
bool replayed;
bool stale;         /* a newer event of the deployment has ended it */

mtype jobs[JOBS] = none; /* the table of jobs: waiting, running, or gone */
bool orphan[JOBS];  /* the process of a running job has died */
byte lastJob;

bool stored;        /* the event */
bool open;          /* the transaction that stores it */
bool disabled;      /* the endpoint */
bool accepted;      /* the endpoint has answered 2xx */
bool succeeded;     /* an attempt of it, since the last replay */
bool owed;          /* the endpoint is enabled, and gets what it has missed */
byte published;     /* events that the database has */
byte faults = FAULTS;
byte orders = ORDERS;

hidden mtype was;
hidden byte before;

/* STEP wraps what workers do. A delivery that the endpoint has stays delivered,
 * and one that has ended stays as it ended, unless an attempt succeeds. */
#define STEP(change)                                                                           \
	was = state; before = step;                                                            \
	change;                                                                                \
	assert(was != delivered || state == delivered);                                        \
	assert(was == pending || state == was || state == delivered);                          \
	assert(j == job || state == was && step == before || state == delivered)

/* What a process knows ends with its job. */
#define FORGET j = 0; due = false; late = false; old = false; good = false; again = false

/* Go: sender/outbox/publisher.go publisher.insert
 * Go: sender/outbox/replayer.go replayer.requeue */
inline insertJob() {
	lastJob++; jobs[lastJob] = waiting; job = lastJob; state = pending; step = 0; succeeded = false
}

/* The publisher's transaction reads the endpoints, and commits later. A retry
 * with the event's ID changes nothing.
 * Go: sender/outbox/publisher.go publisher.publish
 * Go: sender/outbox/publisher.go publisher.insertEvent
 * Go: sender/outbox/publisher.go publisher.newDeliveries */
inline publish() {
	d_step { on = !disabled; open = !stored };
	d_step {
		open = false;
		if
#ifndef PUBLISH_WITHOUT_ID
		:: stored -> skip
		:: !stored ->
#else
		:: true ->
#endif
			stored = true; published++;
			if :: on -> insertJob() :: else fi
		fi
	}
}

/* A process takes a job and reads its delivery and its endpoint.
 * Go: sender/outbox/worker.go worker.work
 * Go: sender/outbox/loader.go loader.loadBatch */
inline fetch() {
	atomic {
		if
		:: jobs[1] == waiting -> j = 1
		:: jobs[2] == waiting -> j = 2
		:: jobs[3] == waiting -> j = 3
		:: jobs[4] == waiting -> j = 4
		fi;
		jobs[j] = running; orphan[j] = false;
		due = (state == pending && job == j); late = disabled; old = stale && !replayed
	}
}

/* The end of a delivery deletes the job that has brought it about, in the same
 * transaction. Nobody rescues a job that is gone.
 * Go: internal/jobdb/queue.go Queue.FinishTx
 * Go: sender/outbox/recorder.go finalJobs */
#define DELETE_JOB jobs[j] = none; orphan[j] = false

/* A delivery of a disabled endpoint, or of a deployment that is over, ends. The
 * endpoint may have been enabled since the job read it. The job then runs again.
 * Go: sender/outbox/worker.go worker.end
 * Go: sender/outbox/recorder.go saveEndings */
inline settle(how) {
	d_step {
		STEP(if
#ifdef CANCEL_WITHOUT_CHECK
		:: state == pending && job == j -> state = how; DELETE_JOB
#else
		:: state == pending && job == j && (how != canceled || disabled) -> state = how; DELETE_JOB
		:: state == pending && job == j && how == canceled && !disabled -> again = true
#endif
		:: else
		fi)
	}
}

/* The endpoint answers.
 * Go: sender/outbox/worker.go worker.deliver
 * Go: sender/outbox/worker.go worker.attempt */
inline attempt() {
	atomic {
		assert(!late && !old);
		if :: good = true; accepted = true :: good = false fi
	}
}

/* A success counts in any state. A failure counts while the job is the
 * delivery's own.
 * Go: sender/outbox/worker.go worker.conclude
 * Go: sender/outbox/worker.go newResult
 * Go: sender/outbox/recorder.go recorder.save
 * Go: sender/outbox/recorder.go recorder.saveResults
 * Go: sender/outbox/attemptrow.go recorder.saveAttempts */
inline record() {
	d_step {
		succeeded = succeeded || good;
		STEP(if
#ifdef SUCCESS_WITH_JOB_ONLY
		:: good && job == j && state == pending -> state = delivered; DELETE_JOB
#else
		:: good -> state = delivered; DELETE_JOB
#endif
#ifdef FAILURE_WITHOUT_JOB
		:: !good ->
#else
		:: !good && state == pending && job == j ->
#endif
			step++;
			if
			:: step == ATTEMPTS -> state = failed; DELETE_JOB
#ifdef RETRY_WITHOUT_JOB
			:: else -> again = true; DELETE_JOB
#else
			:: else -> again = true
#endif
			fi
		:: else
		fi)
	}
}

/* The job is done, or waits for a retry. A job that was rescued or deleted is not
 * touched.
 * Go: sender/outbox/worker.go worker.Work
 * Go: internal/jobdb/queue.go Queue.settleAll */
inline finish() {
	d_step {
		if
		:: jobs[j] == running && again -> jobs[j] = waiting
		:: jobs[j] == running && !again -> jobs[j] = none
		:: else
		fi;
		FORGET
	}
}

/* A lease ends if its process has died, and if it takes long. Another process
 * then claims the job.
 * Go: sender/outbox/options.go config.lease
 * Go: internal/jobdb/queue.go Queue.claim */
inline rescue() {
	atomic {
		if
#ifndef NO_RESCUE
		:: orphan[1] -> r = 1
		:: orphan[2] -> r = 2
		:: orphan[3] -> r = 3
		:: orphan[4] -> r = 4
#endif
		:: faults > 0 && jobs[job] == running -> r = job; faults--
		fi;
		orphan[r] = false; jobs[r] = waiting; r = 0
	}
}

/* Go: sender/outbox/proof_crash_test.go TestProofCrash */
inline crash() { atomic { faults > 0 -> faults--; orphan[j] = jobs[j] != none; FORGET } }

active [2] proctype Process() {
	byte j; bool due, late, old, good, again;
end:	do
	:: fetch();
		if
		:: !due
#ifndef ATTEMPT_WHEN_DISABLED
		:: due && late -> settle(canceled)
#endif
#ifndef ATTEMPT_WHEN_STALE
		:: due && !late && old -> settle(superseded)
#endif
#ifdef RECORD_BEFORE_ATTEMPT
		:: else -> good = true; record(); if :: crash(); goto end :: attempt() fi
#else
		:: else -> attempt(); if :: crash(); goto end :: record() fi
#endif
		fi;
		if :: crash() :: finish() fi
	od
}

/* Go: sender/outbox/health.go health.disable
 * Go: sender/outbox/endpoints.go App.Disable */
inline disable() { d_step { disabled = true; owed = false } }

/* Waiting deliveries are canceled in a transaction of its own, unless the
 * endpoint was enabled meanwhile.
 * Go: sender/outbox/health.go cancelPending */
inline cancel() {
	d_step { if :: disabled && state == pending -> state = canceled :: else fi }
}

/* Go: sender/outbox/endpoints.go App.Enable */
inline enable() { disabled = false }

/* What the endpoint has missed is sent. A transaction that is still open is not
 * seen. App.Missed counts its event later.
 * Go: sender/outbox/missed.go App.SendMissed
 * Go: sender/outbox/missed.go replayer.scheduleMissed
 * Go: sender/outbox/missed.go replayer.sendMissed */
inline sendMissed() {
	d_step {
		owed = !disabled && !open;
		if
		:: !disabled && stored && state == none -> insertJob()
		:: !disabled && state == canceled -> insertJob(); replayed = true
		:: else
		fi
	}
}

/* The transaction reads the endpoint first.
 * Go: sender/outbox/replayer.go App.Replay
 * Go: sender/outbox/replayer.go replayer.replay
 * Go: sender/outbox/replayer.go replayer.requeue */
inline replay() {
	on = !disabled && state != none;
	d_step { if :: on -> insertJob(); replayed = true :: else fi }
}

/* A newer event says that the deployment is over.
 * Go: sender/outbox/publisher.go publisher.newDelivery
 * Go: sender/outbox/publisher.go publisher.insert */
inline supersede() { stale = true }

active proctype Platform() {
	bool on;
	publish();
	if :: publish() /* the answer of the first was lost */ :: skip fi
}

active proctype Operator() {
	bool on;
	do
	:: orders > 0 -> orders--;
		if
		:: disable(); if :: cancel() :: skip /* a crash */ fi
		:: enable()
		:: enable(); sendMissed()
		:: replay()
		:: supersede()
		fi
	:: orders == 0 -> break
	od
}

active proctype Rescuer() {
	byte r;
end:	do :: rescue() od
}

/* Nothing more can happen. */
active proctype End() {
	timeout;
	assert(stored && published == 1);
	assert(state != pending);
	assert(!succeeded || state == delivered);
	assert(!owed || state != none && state != canceled)
}

ltl ends { [] (state == pending -> <> (state != pending)) }
ltl truthful { [] (state == delivered -> accepted) }
