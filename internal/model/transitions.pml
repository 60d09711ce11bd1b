/* Made from access.Transitions by go test ./internal/model -run TestTransitions -update. */

#define Unmade            0
#define RequestMade       1
#define Always            2
#define Pending           3
#define SelfApproved      4
#define Completes         5
#define Approved          6
#define Later             7
#define Scheduled         8
#define GlassBroken       9
#define GrantTakenIn      10
#define Active            11
#define ReviewersAdded    12
#define Reminded          13
#define Escalated         14
#define RequestApproved   15
#define Incomplete        16
#define RequestDenied     17
#define Denied            18
#define RequestWithdrawn  19
#define Withdrawn         20
#define RequestLapsed     21
#define Lapsed            22
#define GrantWritten      23
#define GrantFailed       24
#define Passing           25
#define ForGood           26
#define Failed            27
#define GrantExpired      28
#define Expired           29
#define EndAsked          30
#define GrantEnded        31
#define Ended             32
#define EndFailed         33
#define GlassReviewed     34
#define Refused           35

/* follow sets next to the state that follows, or to Refused where there is none. */
inline follow(from, action, guard, next) {
	if
	:: from == Unmade && action == RequestMade -> next = Pending
	:: from == Unmade && action == SelfApproved && guard == Completes -> next = Approved
	:: from == Unmade && action == SelfApproved && guard == Later -> next = Scheduled
	:: from == Unmade && action == GlassBroken && guard == Completes -> next = Approved
	:: from == Unmade && action == GrantTakenIn -> next = Active
	:: from == Pending && action == ReviewersAdded -> next = Pending
	:: from == Pending && action == Reminded -> next = Pending
	:: from == Pending && action == Escalated -> next = Pending
	:: from == Pending && action == RequestApproved && guard == Incomplete -> next = Pending
	:: from == Pending && action == RequestApproved && guard == Completes -> next = Approved
	:: from == Pending && action == RequestApproved && guard == Later -> next = Scheduled
	:: from == Pending && action == RequestDenied -> next = Denied
	:: from == Pending && action == RequestWithdrawn -> next = Withdrawn
	:: from == Pending && action == RequestLapsed -> next = Lapsed
	:: from == Approved && action == GrantWritten -> next = Active
	:: from == Approved && action == GrantFailed && guard == Passing -> next = Approved
	:: from == Approved && action == GrantFailed && guard == ForGood -> next = Failed
	:: from == Scheduled && action == GrantWritten -> next = Active
	:: from == Scheduled && action == GrantFailed && guard == Passing -> next = Scheduled
	:: from == Scheduled && action == GrantFailed && guard == ForGood -> next = Failed
	:: from == Failed && action == GrantWritten -> next = Active
	:: from == Failed && action == GrantFailed -> next = Failed
	:: from == Active && action == GrantWritten -> next = Active
	:: from == Active && action == GrantFailed -> next = Active
	:: from == Active && action == Reminded -> next = Active
	:: from == Active && action == GrantExpired -> next = Expired
	:: from == Approved && action == EndAsked -> next = Approved
	:: from == Approved && action == GrantEnded -> next = Ended
	:: from == Approved && action == EndFailed -> next = Approved
	:: from == Scheduled && action == EndAsked -> next = Scheduled
	:: from == Scheduled && action == GrantEnded -> next = Ended
	:: from == Scheduled && action == EndFailed -> next = Scheduled
	:: from == Active && action == EndAsked -> next = Active
	:: from == Active && action == GrantEnded -> next = Ended
	:: from == Active && action == EndFailed -> next = Active
	:: from == Ended && action == EndAsked -> next = Ended
	:: from == Ended && action == GrantEnded -> next = Ended
	:: from == Ended && action == EndFailed -> next = Ended
	:: from == Ended && action == GrantWritten -> next = Ended
	:: from == Ended && action == GrantFailed -> next = Ended
	:: from == Ended && action == GrantExpired -> next = Ended
	:: from == Approved && action == GlassReviewed -> next = Approved
	:: from == Failed && action == GlassReviewed -> next = Failed
	:: from == Active && action == GlassReviewed -> next = Active
	:: from == Ended && action == GlassReviewed -> next = Ended
	:: from == Expired && action == GlassReviewed -> next = Expired
	:: else -> next = Refused
	fi
}
