/*
 * One request that takes two approvals, from its first approval to its end: what the
 * service, Google and other people may do at the same time, in every order.
 *
 * What may follow what in the life of a request is not written here: transitions.pml
 * is made from access.Transitions.
 *
 * Each safeguard is 1; with -DNAME=0 it is taken out, and the checker must find the
 * fault. What each is in the code, and which test fails there without it, is said in
 * safeguards.txt.
 */
#include "transitions.pml"

#ifndef INTENT
#define INTENT 1	/* what the ledger did not take is not carried out */
#endif
#ifndef VERSION
#define VERSION 1	/* an intent is recorded on the version that was opened, or not at all */
#endif
#ifndef VOICE
#define VOICE 1		/* one person is one voice */
#endif
#ifndef SIGNED
#define SIGNED 1	/* what is in the database is believed only if it is signed */
#endif
#ifndef ETAG
#define ETAG 1		/* a policy is written over the one that was read, or not at all */
#endif
#ifndef ONCE
#define ONCE 1		/* what bears the request's id is not written again */
#endif
#ifndef CHECK
#define CHECK 1		/* whoever must hold something is looked at in the policy that is written over */
#endif
#ifndef AGAIN
#define AGAIN 1		/* and again for each attempt */
#endif
#ifndef RECORD
#define RECORD 1	/* what was ended stays in the policy as a record with its id */
#endif
#ifndef WINDOW
#define WINDOW 1	/* whoever writes it writes the window that the last approval gave */
#endif
#ifndef STANDS
#define STANDS 1	/* what stands in the policy is not recorded as failed */
#endif
#ifndef LATE
#define LATE 1		/* after ten minutes it has failed */
#endif

#define NEEDED 2	/* approvals */

/* How often something goes wrong: a process ends, an answer is lost, a write comes
   late, the ledger does not take something. */
#ifndef TROUBLE
#define TROUBLE 2
#endif

/* Who changes something, by number; last a write that is still under way. */
#define CHO 0
#define SWEEPER 1
#define SECOND_SWEEPER 2
#define UNDER_WAY 3
#define BEN 4

/* The ledger: the request as the fold of its signed entries. */
byte state = Pending;
byte said;		/* who has approved, a bit for each */
byte voices;		/* how many approvals are counted */
bool denied;		/* a denial was acknowledged */
bool forged;		/* somebody with the database has put approvals in, unsigned */
bool ledgerChanged;	/* since Cho opened the request */

/* The clock: before the window begins, as it begins, minutes later, ten minutes later, over. */
#define BEFORE 0
#define BEGINS 1
#define MINUTES 2
#define TEN 3
#define OVER 4
byte clock;
byte windowEnd;		/* of the window that was approved */

/* The policy of the project. */
byte foreign, foreignEver;	/* bindings of others that are there, and that should be */
byte ours;		/* bindings with the request's id that give access */
byte granted;		/* how often one was written */
bool record;		/* a binding with the id that gives nothing any more */
bool eligible = true;	/* requester and approvers hold what they must */
bool policyChanged[4];	/* since it was read: the etag is another one */

/* A write of which nobody knows yet what became of it. */
bool underWay;
byte wayForeign, wayOurs;
bool wayRecord;

byte trouble = TROUBLE;
byte acting;		/* how many have begun to carry out what was approved, and not ended */

inline policyIsChanged() { policyChanged[0] = true; policyChanged[1] = true; policyChanged[2] = true; policyChanged[3] = true }

/* put has Google write a policy that was made from one that was read. */
inline put(fromForeign, fromOurs, fromRecord) {
	assert((said & (said - 1)) != 0);		/* no grant without two people's recorded approvals */
	assert(!denied);				/* nor after a denial */
	assert(eligible);				/* nor to whom may not have it, by those who may not give it */
	assert(fromForeign == foreignEver);		/* no foreign binding lost */
	assert(granted == 0);				/* at most one grant */
	assert((WINDOW -> windowEnd : clock + 3) == windowEnd);	/* in the window that was approved */
	foreign = fromForeign; ours = fromOurs + 1; record = fromRecord; granted++;
	policyIsChanged()
}

/* happens records what became of it, whatever the version. */
inline happens(action, guard) {
	follow(state, action, guard, next);
	if
	:: next != Refused -> state = next; ledgerChanged = true
	:: else
	fi;
	assert(state != Failed || ours == 0);		/* what stands has not failed */
	next = 0
}

/* leave forgets what is over, so that equal states are equal. */
inline leave(p) { acting--; policyChanged[p] = true; wasForeign = 0; wasOurs = 0; wasRecord = false; holds = false; first = false }

/* grant is what a reviewer's process and a sweeper do alike, who are acting: read, check,
   write, and read again where the write was not the next one, or nobody answered. */
inline grant(p) {
	first = true;
read:
	atomic {
		policyChanged[p] = false; wasForeign = foreign; wasOurs = ours; wasRecord = record;
		holds = (first || AGAIN -> eligible : holds);
		first = false
	}
	if
	:: d_step { ONCE && wasOurs > 0 -> happens(GrantWritten, Always); leave(p) }; goto done
	:: d_step { ONCE && wasOurs == 0 && wasRecord -> happens(GrantFailed, ForGood); leave(p) }; goto done
	:: d_step { !(ONCE && (wasOurs > 0 || wasRecord)) && CHECK && !holds -> happens(GrantFailed, ForGood); leave(p) }; goto done
	:: atomic { ETAG && policyChanged[p] -> goto read }
	:: d_step { !(ONCE && (wasOurs > 0 || wasRecord)) && (!CHECK || holds) && !(ETAG && policyChanged[p]) ->
		put(wasForeign, wasOurs, wasRecord) }
	:: d_step { trouble > 0 && !(ONCE && (wasOurs > 0 || wasRecord)) && (!CHECK || holds) && !(ETAG && policyChanged[p]) ->
		trouble--; put(wasForeign, wasOurs, wasRecord) };
		goto read						/* written, and the answer is lost */
	:: d_step { trouble > 0 && !underWay && !(ONCE && (wasOurs > 0 || wasRecord)) && (!CHECK || holds) ->
		trouble--; underWay = true; policyChanged[UNDER_WAY] = policyChanged[p];
		wayForeign = wasForeign; wayOurs = wasOurs; wayRecord = wasRecord };
		if							/* or it comes later, or never */
		:: goto read
		:: d_step { happens(GrantFailed, Passing); leave(p) }; goto done	/* nobody could find out in time */
		fi
	fi;
	if
	:: d_step { happens(GrantWritten, Always); leave(p) }
	:: d_step { trouble > 0 -> trouble--; leave(p) }		/* the process ends, or the ledger does not take it */
	fi
}

/* Cho approves, and presses again where somebody else was quicker. The others press in one
   step, and carry nothing out: as if their processes ended then. */
#define mayApprove(p)	(!VOICE || !(said & (1 << p)))
inline approve(p, from, fromSaid, fromVoices) {
	if
	:: fromVoices + 1 < NEEDED -> follow(from, RequestApproved, Incomplete, next)
	:: fromVoices + 1 >= NEEDED -> follow(from, RequestApproved, Completes, next); clock = BEGINS; windowEnd = OVER
	:: fromVoices + 1 >= NEEDED -> follow(from, RequestApproved, Later, next); windowEnd = OVER
	fi;
	state = next; said = fromSaid | (1 << p); voices = fromVoices + 1; ledgerChanged = true
}

proctype Reviewer() {
	byte was, wasSaid, wasVoices, wasForeign, wasOurs, next;
	bool wasRecord, holds, first;
again:
	atomic { state == Pending && mayApprove(CHO) -> ledgerChanged = false; was = state; wasSaid = said; wasVoices = voices };
	if
	:: atomic { VERSION && ledgerChanged -> goto done }
	:: atomic { !(VERSION && ledgerChanged) -> approve(CHO, was, wasSaid, wasVoices); acting = acting + (next == Approved -> 1 : 0) }
	:: atomic { trouble > 0 -> trouble--;		/* the ledger does not take it */
		if
		:: !INTENT && wasVoices + 1 >= NEEDED -> next = Approved; windowEnd = OVER; acting++
		:: else -> goto done
		fi }
	fi;
	if
	:: atomic { next != Approved -> goto done }
	:: d_step { next == Approved -> next = 0 }
	:: atomic { next == Approved && trouble > 0 -> trouble--; acting--; goto done }	/* the process ends */
	fi;
	grant(CHO);
done:	atomic { was = 0; wasSaid = 0; wasVoices = 0; next = 0 };
	goto again
}

/* A sweep, begun again where its process ends. */
proctype Sweeper(byte p) {
	byte wasForeign, wasOurs, next;
	bool wasRecord, holds, first;
again:
	if
	:: d_step { state == Active && clock == OVER -> happens(GrantExpired, Always) }; goto again
	:: d_step { LATE && (state == Approved || state == Scheduled) && clock >= TEN && STANDS && (ours > 0 || record) ->
		happens(GrantWritten, Always) }; goto again
	:: d_step { LATE && (state == Approved || state == Scheduled) && clock >= TEN && !(STANDS && (ours > 0 || record)) ->
		happens(GrantFailed, ForGood) }; goto again
	:: d_step { (state == Approved || state == Scheduled) && clock >= BEGINS && clock < TEN -> acting++ }
	:: d_step { !SIGNED && forged && state == Pending -> forged = false; windowEnd = OVER; acting++ }
	fi;
	grant(p);
done:	goto again
}

/* What others do, and time. A process that is acting, and a write that is under way, take
   no ten minutes: actions, and Google's calls, have deadlines. */
proctype World() {
	byte next;
	do
	:: atomic { state == Pending && mayApprove(BEN) -> approve(BEN, state, said, voices); next = 0 }
	:: d_step { state == Pending -> follow(state, RequestDenied, Always, next); state = next; next = 0; denied = true; ledgerChanged = true }
	:: d_step { foreignEver == 0 -> foreign++; foreignEver++; policyIsChanged() }
	:: d_step { eligible -> eligible = false; policyIsChanged() }
	:: d_step { ours > 0 -> ours = 0; record = RECORD; policyIsChanged(); happens(GrantEnded, Always) }
	:: d_step { ours > 0 && trouble > 0 -> trouble--; ours = 0; record = RECORD; policyIsChanged() }
	:: d_step { !SIGNED && !forged && state == Pending && voices == 0 -> forged = true }
	:: d_step { windowEnd == OVER && clock < OVER && (clock + 1 < TEN || acting == 0 && !underWay) -> clock++ }
	:: d_step { underWay && !(ETAG && policyChanged[UNDER_WAY]) -> put(wayForeign, wayOurs, wayRecord);
		underWay = false; wayForeign = 0; wayOurs = 0; wayRecord = false }
	:: d_step { underWay -> underWay = false; wayForeign = 0; wayOurs = 0; wayRecord = false; policyChanged[UNDER_WAY] = true }
	od
}

init {
	atomic {
		policyIsChanged();
		run Reviewer(); run Sweeper(SWEEPER); run Sweeper(SECOND_SWEEPER); run World()
	}
}

#define approved	(state == Approved || state == Scheduled)
#define settled		(state == Active || state == Failed || state == Ended || state == Expired)
ltl everyApprovedRequestEndsGrantedOrFailed { [] (approved -> <> settled) }
