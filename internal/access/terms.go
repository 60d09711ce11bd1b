package access

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Subject is what terms are asked for.
type Subject struct {
	// Principal is who activates.
	Principal Principal
	// Entitlement is what they activate. The zero one asks for what holds wherever
	// nothing else is said.
	Entitlement EntitlementID
	// Kind is how the marker that makes them eligible lets them activate it.
	Kind RequestKind
	// Base is what activating it takes before any rule, where its provider says so; nil where
	// the marker and the settings do.
	Base *Terms
	// At is the moment that is judged: when a request is made, and when it is decided.
	// Begins is when access would begin; zero is at once. Terms hold for both moments.
	At, Begins time.Time
	// Ancestors are the folders and the organization above the resource, nearest first.
	// What is not known is not the same as none: without AncestorsKnown a rule about
	// ancestors can neither be applied nor passed over. So with Groups and Claims.
	Ancestors      []Resource
	AncestorsKnown bool
	// Groups are the addresses of the groups of which the Directory says that the
	// principal is a direct member. Claims are what a signed assertion says of them, as
	// a rule names it without "claim:".
	Groups, Claims           []string
	GroupsKnown, ClaimsKnown bool
	// ChangesPermissions is whether the role can change permissions (RoleInfo).
	// Unknown counts as yes.
	ChangesPermissions Answer
}

// Looks is what a policy looks at of a Subject beside who asks for what, and when. What it
// does not look at need not be looked up.
type Looks struct {
	Ancestors, ChangesPermissions bool
	// Groups are the addresses of the groups that it names of those who ask, Approvers
	// those of the groups whose members may approve.
	Groups, Approvers []string
	// Approvals: how many it takes is not the marker's alone to say, so that the marker
	// that somebody holds must be known (StandingQuery.Ruled).
	Approvals bool
}

// Terms is what activating takes. The terms of several entitlements together are
// the strictest of each (see Strictest).
type Terms struct {
	// Rule names the rule that they come from; empty where no rule says more than
	// the marker and the settings. Policy is the digest of the file that it stands in.
	// Of terms together both are lists, separated by comma and space.
	Rule, Policy string
	// Requirements are the approvals that it takes; none is self-approval. InOrder:
	// the second is asked when the first is filled.
	Requirements []Requirement
	InOrder      bool
	// MinReviewers and MaxReviewers bound how many people are asked. They apply
	// only where there are Requirements, and never count as approvals.
	MinReviewers, MaxReviewers int
	// MaxDuration is the longest grant; DefaultDuration is what a form offers.
	MaxDuration, DefaultDuration time.Duration
	// RequestLife is how long a request can be decided.
	RequestLife time.Duration
	// StartWithin is how far ahead access may be asked for; 0 is at once alone.
	StartWithin time.Duration
	// MaxContinuous is how long a grant and its extensions may last together; 0 is
	// without limit.
	MaxContinuous time.Duration
	// MaxRoles is how many entitlements one request may have.
	MaxRoles int
	// Justification must all hold of a justification; Hint tells people what one
	// should be.
	Justification []JustificationRule
	Hint          string
	// ApproverAccessLevels are what the device of an approver must have, all of them.
	// InheritedOnly: only who may review because of a folder or the organization approves.
	ApproverAccessLevels []string
	InheritedOnly        bool
	// Signature: approvers sign, with keys that are as Keys demands.
	Signature bool
	Keys      KeyTerms
	// RemindAfter is when those who were asked are reminded; 0 leaves it to the service.
	// Escalations are who is told later, sorted by time.
	RemindAfter time.Duration
	Escalations []Escalation
	// Notify are channels that are told as well; with NotifyOnly they are told alone.
	Notify     []string
	NotifyOnly bool
	// People are the addresses of each human among who asks and who is asked that had more
	// than one when the request was made, or when they were asked.
	People [][]Principal
	// BreakGlass: it may be had at once, without approval, as Glass says.
	BreakGlass bool
	Glass      GlassTerms
}

// KeyTerms is what the keys of approvers who sign must be like. Zero is any key whose
// enrolment an administrator has approved who is not its holder.
type KeyTerms struct {
	// Age is how long ago a key must have been enrolled at least.
	Age time.Duration
	// DeviceBound: it cannot be copied to another device. SelfEnrolled: it counts though no
	// administrator has approved its enrolment.
	DeviceBound, SelfEnrolled bool
}

// Escalation is who is told when a request has waited for some time. To is spelled as
// Requirement.From.
type Escalation struct {
	After time.Duration
	To    []string
}

// GlassTerms say who may break the glass, for how long at most, and who looks at it
// afterwards. Who and ReviewBy are spelled as Requirement.From.
type GlassTerms struct {
	Who, ReviewBy []string
	MaxDuration   time.Duration
}

// JustificationRule is found in a justification, or Message says what is missing.
type JustificationRule struct {
	Pattern *regexp.Regexp
	Message string
}

// Approvals is how many other people must approve; 0 is self-approval.
func (t Terms) Approvals() int {
	n := 0
	for _, r := range t.Requirements {
		n += r.Count
	}
	return n
}

// AtAdminPage is whether some of the approvals come from the administration page.
func (t Terms) AtAdminPage() bool { return t.Asked() < t.Approvals() }

// Asked is how many approvals those give who are asked: all but what comes from the
// administration page, where nobody is.
func (t Terms) Asked() int {
	n := 0
	for _, r := range t.Requirements {
		if !slices.Contains(r.From, FromAdminPage) {
			n += r.Count
		}
	}
	return n
}

// Tells is whether a channel tells of a request with these terms.
func (t Terms) Tells(c Channel) bool {
	return !t.NotifyOnly || slices.Contains(t.Notify, c.Name) || len(t.Places(c.Name)) > 0
}

// Places are where a channel is to tell of it besides: what stands behind its name and a colon
// among Notify.
func (t Terms) Places(channel string) []string {
	var places []string
	for _, each := range t.Notify {
		if place, ok := strings.CutPrefix(each, channel+":"); ok {
			places = append(places, place)
		}
	}
	return places
}

// Strictest combines terms: of each term the one that allows least. Requirements for
// approvals from the same people are one, with the larger count. The glass can be broken
// for all together only where the same people may break it and look at it.
func Strictest(first Terms, more ...Terms) Terms {
	for _, t := range more {
		first.Rule, first.Policy = listed(first.Rule, t.Rule), listed(first.Policy, t.Policy)
		first.Requirements = union(first.Requirements, t.Requirements)
		first.InOrder = first.InOrder || t.InOrder
		first.MinReviewers = max(first.MinReviewers, t.MinReviewers)
		first.MaxReviewers = min(first.MaxReviewers, t.MaxReviewers)
		first.MaxDuration = min(first.MaxDuration, t.MaxDuration)
		first.DefaultDuration = min(first.DefaultDuration, t.DefaultDuration)
		first.RequestLife = min(first.RequestLife, t.RequestLife)
		first.StartWithin = min(first.StartWithin, t.StartWithin)
		first.MaxRoles = min(first.MaxRoles, t.MaxRoles)
		for _, rule := range t.Justification {
			same := func(r JustificationRule) bool {
				return r.Pattern.String() == rule.Pattern.String() && r.Message == rule.Message
			}
			if !slices.ContainsFunc(first.Justification, same) {
				first.Justification = append(slices.Clip(first.Justification), rule)
			}
		}
		first.Hint = cmp.Or(first.Hint, t.Hint)
		first.MaxContinuous = earlier(first.MaxContinuous, t.MaxContinuous)
		first.ApproverAccessLevels = both(first.ApproverAccessLevels, t.ApproverAccessLevels)
		first.InheritedOnly = first.InheritedOnly || t.InheritedOnly
		first.Keys.SelfEnrolled = (first.Signature || t.Signature) && (first.Keys.SelfEnrolled || !first.Signature) &&
			(t.Keys.SelfEnrolled || !t.Signature)
		first.Signature = first.Signature || t.Signature
		first.Keys.Age = max(first.Keys.Age, t.Keys.Age)
		first.Keys.DeviceBound = first.Keys.DeviceBound || t.Keys.DeviceBound
		first.RemindAfter = earlier(first.RemindAfter, t.RemindAfter)
		for _, e := range t.Escalations {
			same := func(o Escalation) bool { return o.After == e.After && sameItems(o.To, e.To) }
			if !slices.ContainsFunc(first.Escalations, same) {
				first.Escalations = append(slices.Clip(first.Escalations), e)
			}
		}
		first.Escalations = slices.Clone(first.Escalations)
		slices.SortStableFunc(first.Escalations, func(a, b Escalation) int { return cmp.Compare(a.After, b.After) })
		first.Notify, first.NotifyOnly = both(first.Notify, t.Notify), first.NotifyOnly && t.NotifyOnly
		first.BreakGlass = first.BreakGlass && t.BreakGlass && sameItems(first.Glass.Who, t.Glass.Who) &&
			sameItems(first.Glass.ReviewBy, t.Glass.ReviewBy)
		first.Glass.MaxDuration = min(first.Glass.MaxDuration, t.Glass.MaxDuration)
		if !first.BreakGlass {
			first.Glass = GlassTerms{}
		}
	}
	return first
}

// listed is the list with the items of more that it does not have.
func listed(list, more string) string {
	for _, item := range strings.Split(more, ", ") {
		if item != "" && !slices.Contains(strings.Split(list, ", "), item) {
			list = strings.TrimPrefix(list+", "+item, ", ")
		}
	}
	return list
}

// earlier is the shorter time of two of which 0 is none.
func earlier(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// both are the items of two lists, each once.
func both(a, b []string) []string {
	for _, item := range b {
		if !slices.Contains(a, item) {
			a = append(slices.Clip(a), item)
		}
	}
	return a
}

// sameItems is whether two lists differ in their order alone.
func sameItems(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func union(all, more []Requirement) []Requirement {
	all = slices.Clone(all)
	for _, r := range more {
		if at := slices.IndexFunc(all, r.Same); at < 0 {
			all = append(all, r)
		} else {
			all[at].Count = max(all[at].Count, r.Count)
		}
	}
	return all
}
