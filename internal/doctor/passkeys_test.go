package doctor_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/doctor"
)

// Passkeys that a change of PUBLIC_URL has made useless are told, and who is asked to sign and
// cannot, by each rule.
func TestPasskeys(t *testing.T) {
	approved := time.Unix(1, 0)
	key := func(of access.Principal, host string) access.Passkey {
		return access.Passkey{Of: of, RelyingParty: host, Approved: approved}
	}
	waits := access.Passkey{Of: "dan@example.com", RelyingParty: "jit.example.com"}
	people := []access.Principal{"a@example.com", "b@example.com", "c@example.com", "d@example.com", "e@example.com", "f@example.com", "g@example.com"}
	for what, c := range map[string]struct {
		found doctor.Passkeys
		err   error
		want  []string
	}{
		"nobody has one, and none is demanded": {want: nil},
		"all is well": {found: doctor.Passkeys{Party: "jit.example.com", Keys: []access.Passkey{key("a@example.com", "jit.example.com"), waits},
			Signers: []doctor.Signers{{Of: `rule "x"`, People: people[:1]}}}, want: []string{
			"ok       passkeys: 2 were made for jit.example.com, of which 1 waits for an administrator at HERE/passkeys",
			`ok       passkeys: everybody who may give the signed approvals of rule "x" has one (1)`}},
		"PUBLIC_URL has changed": {found: doctor.Passkeys{Party: "new.example.com", Keys: []access.Passkey{key("b@example.com", "old.example.com"),
			key("a@example.com", "old.example.com"), key("a@example.com", "old.example.com"), key("a@example.com", "new.example.com"), key("a@example.com", "older.example.com")}},
			want: []string{"warning  passkeys: passkeys that were made for old.example.com sign nothing any more, since PUBLIC_URL is at new.example.com: 3, of a@example.com, b@example.com; " +
				"set PUBLIC_URL back to https://old.example.com, or have each of them add another one at HERE/passkeys and an administrator approve it; the old ones can be removed there",
				"warning  passkeys: passkeys that were made for older.example.com sign nothing any more, since PUBLIC_URL is at new.example.com: 1, of a@example.com; " +
					"set PUBLIC_URL back to https://older.example.com, or have each of them add another one at HERE/passkeys and an administrator approve it; the old ones can be removed there",
				"ok       passkeys: 1 was made for new.example.com, of which 0 wait for an administrator at HERE/passkeys"}},
		"some have none": {found: doctor.Passkeys{Signers: []doctor.Signers{{Of: `rule "x"`, People: people, Keyless: people[1:], Others: []string{"peers", "domain:example.com"}},
			{Of: `rule "y"`, Others: []string{"peers"}}}}, want: []string{
			`warning  passkeys: rule "x" has approvals signed, and not everybody who may give them has a passkey that counts; without one (6 of 7): b@example.com, c@example.com, d@example.com, ` +
				`e@example.com, f@example.com, …; not counted: peers, domain:example.com; have them add one at HERE/passkeys, and an administrator approve it`,
			`unseen   passkeys: rule "y" has approvals signed; who could is not known here; not counted: peers`}},
		"those of one are damaged": {found: doctor.Passkeys{Party: "jit.example.com", Keys: []access.Passkey{key("a@example.com", "jit.example.com")},
			Damaged: access.Damages{{Of: "b@example.com", Err: &access.Error{Code: access.CodeDeedsDamaged, Err: errors.New("deed 2 does not follow")}}}},
			want: []string{"broken   passkeys: those of b@example.com are not what was recorded, so that they cannot sign; everybody else can: deed 2 does not follow; " +
				"run: jitaccess ledger verify; docs/ledger.md; put back the rows that were changed or removed, or the key that has signed them",
				"ok       passkeys: 1 was made for jit.example.com, of which 0 wait for an administrator at HERE/passkeys"}},
		"they cannot be read": {err: errors.New("deed 2 does not follow"), want: []string{
			"broken   passkeys: passkeys cannot be read, so that nobody can sign: deed 2 does not follow; run: jitaccess ledger verify; docs/ledger.md"}},
	} {
		t.Run(what, func(t *testing.T) {
			var here string
			lines := world{change: func(d *doctor.Config) {
				here = d.Settings.Server.PublicURL
				d.Passkeys = func(context.Context) (doctor.Passkeys, error) { return c.found, c.err }
			}}.examine(t)
			lines = slices.DeleteFunc(lines, func(line string) bool { return !strings.Contains(line, " passkeys: ") })
			for i := range lines {
				lines[i] = strings.ReplaceAll(lines[i], here, "HERE")
			}
			if !slices.Equal(lines, c.want) {
				t.Errorf("%s", strings.Join(lines, "\n"))
			}
		})
	}
}
