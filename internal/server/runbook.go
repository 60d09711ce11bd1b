package server

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// What links in runbooks fill in: /access/RESOURCE?role=ROLE&reason=TEXT&minutes=NUMBER. They
// fill in a form, and nothing more: whoever opens the page reads it, changes it, and sends it.
const (
	fieldRole   = "role"
	fieldReason = "reason"
)

// rolesNamed are the ids of the entitlements of a resource that the names of roles mean, as
// texts. Of several with a role that one is meant which has no resource condition. A name that
// means none of them, or could mean several, is refused.
func rolesNamed(offer broker.Offer, names []string) ([]string, error) {
	var texts []string
	for _, name := range names {
		role, err := access.ParseRole(strings.TrimSpace(name))
		if err != nil {
			return nil, &access.Error{Kind: access.Invalid, Code: access.CodeBadEntitlement, Field: access.FieldEntitlement,
				Args: access.Args{"entitlement": printable(name)}, Err: err}
		}
		id := access.EntitlementID{Resource: offer.Resource, Role: role}
		var conditional []access.EntitlementID
		for _, o := range offer.Roles {
			if have := o.Entitlement.ID; have.Role == role && have.Condition != "" {
				conditional = append(conditional, have)
			}
		}
		if _, err := offer.Choose(id); err != nil {
			if len(conditional) != 1 {
				if len(conditional) > 1 {
					_, err = offer.Choose() // somebody has to choose
				}
				return nil, err
			}
			id = conditional[0]
		}
		texts = append(texts, id.String())
	}
	return texts, nil
}

// filled is what an address fills in, bounded, and with what is unseen in it spelled out.
type filled struct{ Reason, Minutes string }

// filledIn reads what an address fills in. A length that is no number is none.
func filledIn(q url.Values) filled {
	var f filled
	if reason := []rune(access.Visible(strings.TrimSpace(q.Get(fieldReason)))); len(reason) > 0 {
		f.Reason = string(reason[:min(len(reason), access.MaxJustification)])
	}
	if n, err := strconv.Atoi(strings.TrimSpace(q.Get(access.FieldDuration))); err == nil && n > 0 && n <= maxMinutes {
		f.Minutes = strconv.Itoa(n)
	}
	return f
}

// fillFrom fills the form in from the address, and says so. A length that the terms do not
// allow is left out, and that is said too.
func (v *askView) fillFrom(r *http.Request, s *server, q url.Values) {
	f, l := filledIn(q), s.languageOf(r)
	if f.Reason == "" && f.Minutes == "" && !q.Has(fieldRole) {
		return
	}
	v.Filled = []string{l.Text("ask.filled")}
	v.Justification = f.Reason
	switch n, _ := strconv.Atoi(f.Minutes); {
	case n > v.MaxMinutes:
		v.Filled = append(v.Filled, l.Text("ask.filled.longer", "minutes", n, "max", v.MaxMinutes))
	case n > 0:
		v.setMinutes(f.Minutes)
	}
}
