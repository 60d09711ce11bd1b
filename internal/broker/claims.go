package broker

import (
	"slices"
	"strings"

	"jitaccess/internal/access"
)

// fromClaim begins the name of a group that assertions name, where people are named.
const fromClaim = "claim:"

func isClaim(who string) bool { return strings.HasPrefix(who, fromClaim) }

// claimsUnknown is that an assertion leaves open in which groups somebody is: they are
// neither taken for a member nor for none.
func claimsUnknown() *access.Error {
	return &access.Error{Kind: access.Unavailable, Code: access.CodeClaimsUnknown}
}

// claimed is whether p is one of a group that assertions name. Only who is here shows an
// assertion. Of who approved before and is not, it counts what they showed then, which stands
// in their decision.
func claimed(caller access.Caller, p access.Principal, r access.Request, who string) (bool, error) {
	switch said := r.DecisionOf(p); {
	case p != caller.Principal:
		return said != nil && slices.Contains(said.As, who), nil
	case caller.ClaimsUnknown:
		return false, claimsUnknown()
	}
	return slices.Contains(caller.Claims, strings.TrimPrefix(who, fromClaim)), nil
}

// perhaps is what p, who is to be asked, could approve as, with the groups that assertions
// name: of somebody who is not here nobody knows more before they decide. err is why they
// could approve as nothing else.
func perhaps(as []string, err error, terms access.Terms) ([]string, error) {
	claims := slices.DeleteFunc(spelledIn(terms), func(from string) bool { return !isClaim(from) })
	if e := access.AsError(err); len(claims) == 0 || e != nil && (terms.InheritedOnly || e.Code != access.CodeReviewerNotEligible) {
		return as, err
	}
	return append(as, claims...), nil
}
