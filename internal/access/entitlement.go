package access

import (
	"cmp"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"jitaccess/internal/lazyregexp"
)

// EntitlementID names something that a principal may activate: a role on a
// resource, perhaps narrowed by a resource condition. It is comparable.
type EntitlementID struct {
	Resource Resource
	Role     Role
	// Condition is the canonical text of the resource condition, without the
	// eligibility marker; empty when there is none.
	Condition string
}

// roleInID finds where the resource ends and the role begins. Splitting at colons
// would not do: a domain-scoped project id has one of its own.
var roleInID = lazyregexp.New(`:(` + roleExpression + `)(:|$)`)

// maxEntitlementID bounds what is parsed; the condition is at most what IAM takes.
const maxEntitlementID = 8 << 10

// ParseEntitlementID reads the text form RESOURCE:ROLE[:BASE64], where RESOURCE is
// a bare project id or a path. As in JIT Access 1.x a trailing empty part and
// missing Base64 padding are tolerated.
func ParseEntitlementID(text string) (EntitlementID, error) {
	if len(text) > maxEntitlementID {
		return EntitlementID{}, errors.New("entitlement id is too long")
	}
	at := roleInID().FindStringSubmatchIndex(text)
	if at == nil {
		return EntitlementID{}, errors.New("not an entitlement id of the form RESOURCE:ROLE or RESOURCE:ROLE:CONDITION")
	}
	resource, err := Project(text[:at[0]])
	if err != nil {
		if resource, err = ParseResource(text[:at[0]]); err != nil {
			return EntitlementID{}, err
		}
	}
	role, err := ParseRole(text[at[2]:at[3]])
	if err != nil {
		return EntitlementID{}, err
	}
	condition, err := base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(text[at[1]:], "="))
	if err != nil {
		return EntitlementID{}, errors.New("the condition of the entitlement id is not Base64")
	}
	if !utf8.Valid(condition) {
		return EntitlementID{}, errors.New("the condition of the entitlement id is not UTF-8")
	}
	return EntitlementID{Resource: resource, Role: role, Condition: string(condition)}, nil
}

// String is the text form that ParseEntitlementID reads, as JIT Access 1.x writes
// it: standard Base64 with padding.
func (e EntitlementID) String() string {
	resource := string(e.Resource)
	if id, ok := e.Resource.ProjectID(); ok {
		resource = id
	}
	text := resource + ":" + string(e.Role)
	if e.Condition != "" {
		text += ":" + base64.StdEncoding.EncodeToString([]byte(e.Condition))
	}
	return text
}

// CompareEntitlementIDs orders ids by their text form.
func CompareEntitlementIDs(a, b EntitlementID) int {
	if a.Resource == b.Resource && !strings.HasPrefix(string(a.Role), string(b.Role)) && !strings.HasPrefix(string(b.Role), string(a.Role)) {
		return cmp.Compare(a.Role, b.Role) // they differ before the conditions begin
	}
	return cmp.Compare(a.String(), b.String())
}

// Entitlement is what one principal holds on one resource: what may be activated
// there, or reviewed, and why we believe so.
type Entitlement struct {
	ID EntitlementID
	// SelfApproval: the principal holds the marker that lets them activate alone.
	SelfApproval bool
	// PeerApproval: the principal holds a marker that lets them request with the
	// approval of others. Both may be true; it is then listed as self-approval.
	PeerApproval bool
	// MayReview: the principal may approve other people's requests for it, as far
	// as Reviews goes.
	MayReview bool
	// Requests are the ways of approval in which PeerApproval holds, Reviews those
	// in which MayReview does, sorted, each once. Empty is the plain one alone: by
	// peers, without a topic.
	Requests, Reviews []Approval
	// Inherited are the ways of Reviews that a folder or the organization gives, above the
	// resource.
	Inherited []Approval
	// Sources are the nodes whose policies carry the eligibility.
	Sources []Resource
	// Ways are the bindings behind it, one for each node and member, in the order of
	// the policies. A provider that does not know the member leaves them out.
	Ways []Way
	// Unconfirmed: no policy that carries it could be read live; it is known from
	// the provider's inventory alone, which may be minutes old.
	Unconfirmed bool
	// Until is when the eligibility itself ends, in whole seconds; no grant lasts
	// longer. Zero is never. Unclear: it is limited in time in other ways too, which the
	// provider enforces, so that access may be shorter than what is shown.
	Until   time.Time
	Unclear bool
}

// Approval is a way in which requests for an entitlement are approved: what a
// marker says beside its kind.
type Approval struct {
	// Topic narrows it; empty when the marker names none.
	Topic string
	// External: of a request, that peers cannot approve it, only reviewers who hold
	// the privilege to review. Of a review, that it rests on that privilege.
	External bool
}

// CompareApprovals orders ways of approval.
func CompareApprovals(a, b Approval) int {
	return cmp.Or(cmp.Compare(strconv.FormatBool(a.External), strconv.FormatBool(b.External)), cmp.Compare(a.Topic, b.Topic))
}

// Reviews is whether somebody who may review in this way may approve what is
// requested in the other. A review without a topic fits every topic.
func (a Approval) Reviews(request Approval) bool {
	return (a.Topic == "" || a.Topic == request.Topic) && (a.External || !request.External)
}

// MayReviewFor is whether the holder of e may approve a request of the holder of
// requested, which is the same entitlement: in at least one way in which it may be
// requested. That they are two people is not for here.
func (e Entitlement) MayReviewFor(requested Entitlement) bool {
	return e.MayReview && requested.PeerApproval && slices.ContainsFunc(orPlain(requested.Requests), func(request Approval) bool {
		return slices.ContainsFunc(orPlain(e.Reviews), func(review Approval) bool { return review.Reviews(request) })
	})
}

// OnlyInherited is e without what the resource's own policy gives for reviewing.
func (e Entitlement) OnlyInherited() Entitlement {
	e.Reviews, e.MayReview = e.Inherited, len(e.Inherited) > 0
	return e
}

func orPlain(ways []Approval) []Approval {
	if len(ways) == 0 {
		return []Approval{{}}
	}
	return ways
}

// Way is how an eligibility comes to a principal: the node whose policy says so,
// and the member there that means them, such as group:ADDRESS.
type Way struct {
	Node   Resource
	Member string
}

// Kind is how it is activated: alone where that is possible.
func (e Entitlement) Kind() RequestKind {
	if e.SelfApproval {
		return Self
	}
	return Peers
}

// MayRequest is whether the principal may activate it at all, alone or with peers.
func (e Entitlement) MayRequest() bool { return e.SelfApproval || e.PeerApproval }

// StandingQuery asks what the policies of one resource say. One query is answered
// from one look, so an action that needs several answers asks once.
type StandingQuery struct {
	Resource Resource
	// Principals are the people whose holdings are wanted.
	Principals []Principal
	// Of are the entitlements that matter for the Principals; empty is all. With
	// Since, only the nodes that carry these are read.
	Of []EntitlementID
	// ReviewersOf are the entitlements whose possible reviewers are wanted: of
	// requests by any of the Principals, or by anybody where there are none. The
	// answer is as expensive as expanding every group that may review them.
	ReviewersOf []EntitlementID
	// Since is when the action began that the answer is for: nothing may have been
	// asked of the provider before, except where it can only be asked by inventory.
	// The queries of one action so share what they ask. Zero is a page, for which
	// answers may be some seconds old.
	Since time.Time
	// Arrived is when the page was asked for (Caller.Arrived): the resource's own policy
	// is read once for it. When both are zero it is read each time.
	Arrived time.Time
	// Ruled: a rule says how many approvals it takes, whatever the marker says: who may
	// activate alone may also ask others, and approve for those who do.
	Ruled bool
	// Everybody asks, in place of Principals, for everybody who is named in an eligible
	// binding, in person or as a direct member of a group. It costs one look-up for each
	// group.
	Everybody bool
	// Above wants to know what lies above the resource.
	Above bool
}

// Standing is what the policies of one resource say at one moment.
type Standing struct {
	Resource Resource
	// Holdings has an entry for every principal asked about, perhaps empty,
	// sorted by id.
	Holdings map[Principal][]Entitlement
	// Reviewers has an entry for every entitlement asked about, sorted, people
	// once each. The requester may be among them.
	Reviewers map[EntitlementID][]Principal
	// Activations are all grants of ours on the resource, of everybody, ended ones
	// that have not been cleared too, in the order of the policy.
	Activations []Activation
	// Ineffective is what makes nobody eligible; it names others, and is for admins.
	Ineffective []Ineffective
	// Above are the folders and the organization that lie above the resource, nearest
	// first, as far as the provider knows, where the query wants them. AboveKnown: these are
	// all; if not, AboveErr is why.
	Above      []Resource
	AboveKnown bool
	AboveErr   *Error
	// Remembered: the provider holds nothing itself. What stands is what is remembered
	// (OfRequest), and Activations are none.
	Remembered bool
	// Warnings are what could not be read or understood; the rest stands.
	Warnings []*Error
}

// Ineffective is a part of the policies that is meant to make people eligible, as far
// as can be told, and makes nobody so, or that does more than that.
type Ineffective struct {
	// Node is where it stands. Role is as it is written there.
	Node Resource
	Role string
	// Member is the one that counts for nothing; Expression the condition, where it is
	// not about a member. Both may be empty.
	Member, Expression string
	// Why says what is wrong, and what was probably meant.
	Why *Error
}

// Warning is what people hear of it who are not to see it.
func (i Ineffective) Warning() *Error {
	return &Error{Kind: Unprocessable, Code: CodeUnreadableBinding, Args: Args{"role": i.Role, "resource": string(i.Node)}, Err: i.Why}
}

// WindowAt is the window that an approval accepted now gives (see Request.WindowAt),
// as far as the requester is eligible. It has no length where their eligibility ends
// before access would begin.
func (s Standing) WindowAt(r Request, now time.Time, more ...Decision) Window {
	w := r.WindowAt(now, more...)
	for _, id := range r.Entitlements {
		w = w.Before(s.Holding(r.Principal, id).Until)
	}
	return w
}

// Holding is what p holds of id; zero when that is nothing.
func (s Standing) Holding(p Principal, id EntitlementID) Entitlement {
	for _, e := range s.Holdings[p] {
		if e.ID == id {
			return e
		}
	}
	return Entitlement{}
}

// MayReview is whether reviewer may approve a request of requester for id.
func (s Standing) MayReview(reviewer, requester Principal, id EntitlementID) bool {
	return s.Holding(reviewer, id).MayReviewFor(s.Holding(requester, id))
}

// Lasts is nil when the requester may have all that the request is for, for the whole of
// a window: every eligibility lasts as long. It is of kind NotAllowed otherwise, and
// also for a window without length, which begins when the eligibility is over.
func (s Standing) Lasts(r Request, w Window) error {
	for _, id := range r.Entitlements {
		until := s.Holding(r.Principal, id).Until
		if w.Length() <= 0 && !until.IsZero() || w.Before(until) != w {
			return &Error{Kind: NotAllowed, Code: CodeEligibilityEnds, Field: FieldStart,
				Args: Args{"role": string(id.Role), "until": until.UTC().Format(time.RFC3339)}}
		}
	}
	return nil
}

// NotHeld is the error for somebody who does not hold what they must: refusal,
// unless something that might have shown that they do could not be asked. A
// directory that is down must not read as "you are not eligible".
func (s Standing) NotHeld(refusal *Error) *Error {
	for _, w := range s.Warnings {
		switch w.Code {
		case CodeQuota, CodeAnalysisQuota, CodeStaleGroups, CodeMoved, CodeUpstreamFailed, CodeUpstreamTimeout, CodeDeadline,
			CodeServiceNotAllowed:
			return w
		case CodeAnalysisPartial:
			if w.Kind == Unavailable { // otherwise the part is missing for good, and no reason to wait
				return w
			}
		}
	}
	return refusal
}

// OfRequest returns the activations of the request: those that carry its id, belong
// to its principal and are for one of its entitlements. The id alone says little,
// since whoever may edit the policy can write any.
//
// Where nothing but what is remembered stands, they are what r says as it was opened.
func (s Standing) OfRequest(r Request) []Activation {
	var found []Activation
	if s.Remembered && r.State == Active {
		for _, id := range r.Entitlements {
			found = append(found, Activation{RequestID: r.ID, Principal: r.Principal, Entitlement: id, Window: r.Window,
				Justification: r.Justification, Approvers: r.ApprovedBy()})
		}
	}
	for _, a := range s.Activations {
		if a.Principal == r.Principal && slices.Contains(r.Entitlements, a.Entitlement) && (a.RequestID == r.ID || r.approvedIn1(a)) {
			found = append(found, a)
		}
	}
	return found
}

// approvedIn1 is whether the activation is what JIT Access 1.8.1 makes of an approval
// of this request. It reads our links of one role, and writes no id, the justification
// as it is (its end can look like an id) and the window that the link says, which begins
// when the request is made; somebody may have ended it early since.
func (r Request) approvedIn1(a Activation) bool {
	w := r.WindowAt(r.Created).Before(a.Until)
	asked := a.Derived || r.Justification == strings.TrimPrefix(a.Justification+" ["+a.RequestID+"]", " ")
	return asked && len(a.Approvers) > 0 && len(r.Entitlements) == 1 && a.Window.Start.Equal(w.Start) && !a.Window.End.After(w.End)
}
