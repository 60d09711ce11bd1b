package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"jitaccess/internal/access"
)

// Passkeys is who could sign approvals.
type Passkeys struct {
	// Party is the host for which passkeys are made now, that of PUBLIC_URL. Keys are
	// everybody's that were not removed.
	Party   string
	Keys    []access.Passkey
	Signers []Signers
	// Damaged are people whose passkeys are not as they were recorded.
	Damaged access.Damages
}

// Signers are who may give the approvals that a rule has signed.
type Signers struct {
	// Of is the rule, in words. People are those who are known, and Keyless those of them who
	// have no passkey with which they could. Others are spelled, and not counted.
	Of              string
	People, Keyless []access.Principal
	Others          []string
}

// passkeys looks for keys that a change of PUBLIC_URL has made useless, and for people who are
// asked to sign and cannot.
func (d *doctor) passkeys(ctx context.Context) {
	if d.Passkeys == nil {
		return
	}
	const check = "passkeys"
	p, err := d.Passkeys(ctx)
	if err != nil {
		d.broken(check, "passkeys cannot be read, so that nobody can sign: "+why(err), "run: jitaccess ledger verify; docs/ledger.md")
		return
	}
	for _, one := range p.Damaged {
		d.broken(check, fmt.Sprintf("those of %s are not what was recorded, so that they cannot sign; everybody else can: %s", one.Of,
			why(one.Err)), damagedRemedy)
	}
	page := d.Settings.Server.PublicURL + "/passkeys"
	elsewhere, waiting := map[string][]access.Principal{}, 0
	for _, k := range p.Keys {
		switch {
		case k.RelyingParty != p.Party:
			elsewhere[k.RelyingParty] = append(elsewhere[k.RelyingParty], k.Of)
		case k.Approved.IsZero():
			waiting++
		}
	}
	for _, host := range slices.Sorted(maps.Keys(elsewhere)) {
		holders := elsewhere[host]
		d.warn(check, fmt.Sprintf("passkeys that were made for %s sign nothing any more, since PUBLIC_URL is at %s: %d, of %s", host, p.Party,
			len(holders), some(holders)), "set PUBLIC_URL back to https://"+host+", or have each of them add another one at "+page+
			" and an administrator approve it; the old ones can be removed there")
	}
	if here := len(p.Keys) - sum(elsewhere); here > 0 {
		d.ok(check, "%s made for %s, of which %s for an administrator at %s", access.Counted(here, "was", "were"), p.Party,
			access.Counted(waiting, "waits", "wait"), page)
	}
	for _, s := range p.Signers {
		uncounted := ""
		if len(s.Others) > 0 {
			uncounted = "; not counted: " + strings.Join(s.Others, ", ")
		}
		switch {
		case len(s.Keyless) > 0:
			d.warn(check, fmt.Sprintf("%s has approvals signed, and not everybody who may give them has a passkey that counts; without one "+
				"(%d of %d): %s%s", s.Of, len(s.Keyless), len(s.People), some(s.Keyless), uncounted),
				"have them add one at "+page+", and an administrator approve it")
		case len(s.People) == 0:
			d.unseen(check, s.Of+" has approvals signed; who could is not known here"+uncounted, "")
		default:
			d.ok(check, "everybody who may give the signed approvals of %s has one (%d)%s", s.Of, len(s.People), uncounted)
		}
	}
}

// some are the first of some people, each once, and that there are more.
func some(people []access.Principal) string {
	people = slices.Compact(slices.Sorted(slices.Values(people)))
	text := strings.Join(access.Texts(people[:min(len(people), maxNamed)]), ", ")
	if len(people) > maxNamed {
		text += ", …"
	}
	return text
}

// sum is how many there are in all.
func sum(all map[string][]access.Principal) (n int) {
	for _, each := range all {
		n += len(each)
	}
	return n
}
