package iampolicy

import (
	"slices"
	"strconv"
	"time"

	"jitaccess/internal/access"
)

// Limits of IAM that cannot be raised (https://cloud.google.com/iam/quotas).
const (
	// MaxMembers counts every appearance of a member in any binding.
	MaxMembers = 1500
	// MaxSameRole counts the bindings of one role that have the same member.
	MaxSameRole = 20
)

// roomFor refuses a grant that IAM would refuse, with the figures that its own
// refusal lacks. Where records of what is over are in the way, to wait for the first of
// them helps, and to end something does not.
func (p *Policy) roomFor(m access.Principal, id access.EntitlementID, life time.Duration, now time.Time) error {
	same := 0
	var free time.Time // when the first of our bindings is needed no more
	records := false
	for _, b := range p.bindings {
		if b.Role != string(id.Role) || !slices.ContainsFunc(b.Members, is(m)) {
			continue
		}
		same++
		if own := b.meaning.own; own != nil {
			records = records || !own.window.End.After(now)
			if kept := own.kept(life); free.IsZero() || kept.Before(free) {
				free = kept
			}
		}
	}
	if same >= MaxSameRole {
		e := &access.Error{Kind: access.Unprocessable, Code: access.CodeTooManyGrants, Args: access.Args{
			"count": strconv.Itoa(same), "max": strconv.Itoa(MaxSameRole), "role": string(id.Role)}}
		if records {
			e.Code, e.Args["until"] = access.CodeTooManyRecords, free.Add(time.Second).UTC().Format(time.RFC3339)
		}
		return e
	}
	if n := members(p.bindings); n >= MaxMembers {
		return full(access.CodePolicyFull, n, id.Resource)
	}
	return nil
}

// NearlyFull is a warning when the policy of r has reached 80 % of what it can
// hold, and nil before.
func (p *Policy) NearlyFull(r access.Resource) *access.Error {
	if n := members(p.bindings); n >= MaxMembers*8/10 {
		return full(access.CodePolicyNearlyFull, n, r)
	}
	return nil
}

func full(code access.Code, count int, r access.Resource) *access.Error {
	return &access.Error{Kind: access.Unprocessable, Code: code, Args: access.Args{
		"count": strconv.Itoa(count), "max": strconv.Itoa(MaxMembers), "resource": string(r)}}
}

func members(bindings []Binding) int {
	n := 0
	for _, b := range bindings {
		n += len(b.Members)
	}
	return n
}

// Deleted is whether the policy still names a deleted account with the person's
// address. IAM has been reported to refuse to add the person then
// (github.com/hashicorp/terraform-provider-google, issues 6736 and 7896).
func (p *Policy) Deleted(m access.Principal) bool {
	return slices.ContainsFunc(p.bindings, func(b Binding) bool {
		return slices.ContainsFunc(b.Members, func(text string) bool { d, ok := deletedMember(text); return ok && d == m })
	})
}
