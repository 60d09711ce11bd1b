package token_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/token"
	"jitaccess/internal/token/tokentest"
)

type claims = map[string]any

// iat is when the tokens of these tests are made, on the clock of newClock.
var iat = newClock().t.Unix()

// of1x8 are the claims that JIT Access 1.8 writes.
func of1x8() claims {
	return claims{
		"iss": account, "aud": account, "iat": iat, "exp": iat + 3600, "jti": "mpa-a+/b0123456789AB",
		"beneficiary": "ana@example.com", "reviewers": []string{"chloe@example.com", "ben@example.com"},
		"entitlement":   "shop-prod:roles/compute.admin:cmVzb3VyY2UubmFtZSA9PSAicmVzb3VyY2UtMSI=",
		"justification": "b/42", "start": iat, "end": iat + 1800,
	}
}

// of1x7 are those of 1.7 and older.
func of1x7() claims {
	c := of1x8()
	delete(c, "entitlement")
	c["resource"], c["role"] = "//cloudresourcemanager.googleapis.com/projects/shop-prod", "roles/compute.admin"
	return c
}

// ofOne and ofMany are ours, for one and for several entitlements.
func ofOne() claims {
	c := of1x8()
	c["purpose"], c["duration"] = "activation", 1800
	return c
}

func ofMany() claims {
	c := ofOne()
	delete(c, "entitlement")
	c["entitlements"] = []string{"shop-prod:roles/viewer", "shop-prod:roles/compute.admin"}
	return c
}

var shapes = map[string]func() claims{"1.8": of1x8, "1.7": of1x7, "one": ofOne, "many": ofMany}

// linkOf signs claims as they are.
func linkOf(t testing.TB, s token.Signer, payload any) string {
	t.Helper()
	text, ok := payload.(string)
	if !ok {
		encoded, err := json.Marshal(payload)
		if err != nil {
			t.Fatal(err)
		}
		text = string(encoded)
	}
	signed, err := s.SignJWT(context.Background(), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := token.EncodeLink(signed)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func open(s *token.Store, ref string) (access.Request, error) {
	return s.Open(context.Background(), ref)
}

func wantError(t *testing.T, what string, err error, kind access.Kind, code access.Code) {
	t.Helper()
	var e *access.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Code != code {
		t.Errorf("%s: error %v, want %v: %v", what, err, kind, code)
	}
}

func wantBadLink(t *testing.T, what string, err error) {
	t.Helper()
	wantError(t, what, err, access.NotFound, access.CodeBadLink)
}

func TestTokenOfJITAccess18KeepsItsOwnWindow(t *testing.T) {
	r, err := open(newStore(newClock()), linkOf(t, signer(), of1x8()))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Unix(iat, 0).UTC()
	if want := (access.Window{Start: start, End: start.Add(30 * time.Minute)}); r.Fixed != want || r.WindowAt(start.Add(time.Hour)) != want {
		t.Errorf("Fixed %v, want %v", r.Fixed, want)
	}
	if !r.Start.IsZero() || r.Duration != 30*time.Minute || !r.Created.Equal(start) || !r.Expires.Equal(start.Add(time.Hour)) || r.Version != 1 {
		t.Errorf("request %+v", r)
	}
	if r.ID != "mpa-a+/b0123456789AB" || r.Principal != "ana@example.com" || r.Justification != "b/42" || r.Resource != "projects/shop-prod" {
		t.Errorf("request %+v", r)
	}
	if len(r.Reviewers) != 2 || r.Reviewers[0] != "ben@example.com" || r.Reviewers[1] != "chloe@example.com" {
		t.Errorf("reviewers %v", r.Reviewers)
	}
	if id := (access.EntitlementID{Resource: "projects/shop-prod", Role: "roles/compute.admin", Condition: `resource.name == "resource-1"`}); len(r.Entitlements) != 1 || r.Entitlements[0] != id {
		t.Errorf("entitlements %v", r.Entitlements)
	}
}

func TestTokenOfJITAccess17NamesProjectAndRole(t *testing.T) {
	r, err := open(newStore(newClock()), linkOf(t, signer(), of1x7()))
	if err != nil {
		t.Fatal(err)
	}
	if id := (access.EntitlementID{Resource: "projects/shop-prod", Role: "roles/compute.admin"}); len(r.Entitlements) != 1 || r.Entitlements[0] != id || r.Fixed.IsZero() {
		t.Errorf("request %+v", r)
	}
}

func TestWhatOlderTokensMaySay(t *testing.T) {
	for what, change := range map[string]func(claims){
		"the beneficiary as a reviewer": func(c claims) { c["reviewers"] = []string{"ana@example.com", "ben@example.com"} },
		"addresses in capitals":         func(c claims) { c["beneficiary"] = "Ana@Example.COM" },
		"a reviewer twice":              func(c claims) { c["reviewers"] = []string{"ben@example.com", "Ben@example.com"} },
		"twelve hours to decide":        func(c claims) { c["exp"] = iat + 12*3600 },
		"a start a second after iat":    func(c claims) { c["start"], c["end"] = iat+1, iat+61 },
		"a start a second before iat":   func(c claims) { c["start"], c["end"] = iat-1, iat+59 },
	} {
		for shape, build := range map[string]func() claims{"1.8": of1x8, "1.7": of1x7} {
			c := build()
			change(c)
			r, err := open(newStore(newClock()), linkOf(t, signer(), c))
			if err != nil {
				t.Errorf("%s, %s: %v", shape, what, err)
			}
			if r.Expires.After(r.Created.Add(6 * time.Hour)) {
				t.Errorf("%s, %s: expires %s", shape, what, r.Expires)
			}
		}
	}
}

// Incident 4: a service that looked at nothing but exp took any token of the key.
func TestThreat10_ClaimsAreAnExactSet(t *testing.T) {
	store := newStore(newClock())
	for shape, build := range shapes {
		if _, err := open(store, linkOf(t, signer(), build())); err != nil {
			t.Errorf("%s itself: %v", shape, err)
		}
		for name := range build() {
			c := build()
			delete(c, name)
			// Without purpose and duration alone ours are not those of 1.8 either.
			_, err := open(store, linkOf(t, signer(), c))
			wantBadLink(t, shape+" without "+name, err)
			upper := build()
			upper[strings.ToUpper(name)] = upper[name]
			_, err = open(store, linkOf(t, signer(), upper))
			wantBadLink(t, shape+" with "+name+" in capitals too", err)
			delete(upper, name)
			_, err = open(store, linkOf(t, signer(), upper))
			wantBadLink(t, shape+" with "+name+" in capitals", err)
			for _, wrong := range []any{nil, "", 1.5, -1, true, []any{}, []any{1}, claims{}, "\u0000", 1e300} {
				c := build()
				c[name] = wrong
				_, err := open(store, linkOf(t, signer(), c))
				wantBadLink(t, fmt.Sprintf("%s with %s = %v", shape, name, wrong), err)
			}
		}
		for _, name := range []string{"sub", "scope", "target_audience", "nbf", "email", "google", "approvals", "", "x"} {
			c := build()
			c[name] = "x"
			_, err := open(store, linkOf(t, signer(), c))
			wantBadLink(t, shape+" with "+name, err)
		}
		for other := range shapes {
			if other == shape {
				continue
			}
			c := build()
			maps.Copy(c, shapes[other]())
			if _, err := open(store, linkOf(t, signer(), c)); err == nil && !(other == "one" && shape == "1.8") && !(other == "1.8" && shape == "one") {
				t.Errorf("a mixture of %s and %s was accepted", shape, other)
			}
		}
	}
}

func TestThreat08_ClaimsAreCheckedThoughSigned(t *testing.T) {
	set := func(name string, value any) func(claims) { return func(c claims) { c[name] = value } }
	store := newStore(newClock())
	for what, change := range map[string]func(claims){
		"another issuer":              set("iss", "other@ops-prod.iam.gserviceaccount.com"),
		"another audience":            set("aud", "other@ops-prod.iam.gserviceaccount.com"),
		"an array of audiences":       set("aud", []string{account}),
		"an audience of Google":       set("aud", "https://iamcredentials.googleapis.com/"),
		"an issuer in capitals":       set("iss", strings.ToUpper(account)),
		"an id of self-approval":      set("jti", "jit-0123456789abcdef"),
		"an id with a slash in front": set("jti", "/mpa-0123456789abcdef"),
		"a long id":                   set("jti", "mpa-0123456789abcdefg"),
		"a service account":           set("beneficiary", account),
		"two addresses":               set("beneficiary", "ana@example.com,ben@example.com"),
		"two ats":                     set("beneficiary", "ana@example.com@example.org"),
		"a look-alike letter":         set("beneficiary", "\u212Aim@example.com"),
		"no reviewers":                set("reviewers", []string{}),
		"one string of reviewers":     set("reviewers", "ben@example.com"),
		"a bad reviewer":              set("reviewers", []string{"ben@example.com", "ben"}),
		"a line break in the reason":  set("justification", "a\nb"),
		"a bidi control":              set("justification", "a\u202Eb"),
		"a blank reason":              set("justification", "  "),
		"a long reason":               set("justification", strings.Repeat("x", access.MaxJustification+1)),
		"exp at iat":                  set("exp", iat),
		"exp before iat":              set("exp", iat-1),
		"exp after 13 hours":          set("exp", iat+13*3600),
		"an iat as text":              set("iat", fmt.Sprint(iat)),
		"an end at the start":         set("end", iat),
		"an end before the start":     set("end", iat-60),
		"an end in a far year":        set("end", int64(1)<<62),
		"a window of half a minute":   set("end", iat+30),
		"a window in a far year":      func(c claims) { c["start"], c["end"] = int64(1)<<60, int64(1)<<60+1800 },
		"a window before the epoch":   func(c claims) { c["start"], c["end"] = -1800, 0 },
	} {
		for shape, build := range shapes {
			c := build()
			change(c)
			_, err := open(store, linkOf(t, signer(), c))
			wantBadLink(t, shape+" with "+what, err)
		}
	}
	for what, change := range map[string]func(claims){
		"another purpose":        set("purpose", "approval"),
		"a purpose in capitals":  set("purpose", "Activation"),
		"another duration":       set("duration", 1860),
		"no duration":            set("duration", 0),
		"a duration as text":     set("duration", "1800"),
		"exp after seven hours":  set("exp", iat+7*3600),
		"a start before iat":     func(c claims) { c["start"], c["end"] = iat-60, iat+1740 },
		"a window of two years":  func(c claims) { c["end"], c["duration"] = iat+2*366*86400, 2*366*86400 },
		"a window of no minutes": func(c claims) { c["end"], c["duration"] = iat+90, 90 },
	} {
		for _, build := range []func() claims{ofOne, ofMany} {
			c := build()
			change(c)
			_, err := open(store, linkOf(t, signer(), c))
			wantBadLink(t, what, err)
		}
	}
	for what, list := range map[string][]string{
		"one":                 {"shop-prod:roles/viewer"},
		"one twice":           {"shop-prod:roles/viewer", "shop-prod:roles/viewer"},
		"one in two spelling": {"shop-prod:roles/viewer", "projects/shop-prod:roles/viewer:"},
		"two projects":        {"shop-prod:roles/viewer", "shop-test:roles/viewer"},
		"no id":               {"shop-prod:roles/viewer", "shop-prod"},
	} {
		c := ofMany()
		c["entitlements"] = list
		_, err := open(store, linkOf(t, signer(), c))
		wantBadLink(t, "entitlements: "+what, err)
	}
	for what, change := range map[string]func(claims){
		"a folder":              set("resource", "//cloudresourcemanager.googleapis.com/folders/1"),
		"a bare project":        set("resource", "projects/shop-prod"),
		"another host":          set("resource", "//compute.googleapis.com/projects/shop-prod"),
		"a path in the project": set("resource", "//cloudresourcemanager.googleapis.com/projects/a/../b"),
		"a role with more":      set("role", "roles/viewer:YQ=="),
		"no role":               set("role", "viewer"),
	} {
		c := of1x7()
		change(c)
		_, err := open(store, linkOf(t, signer(), c))
		wantBadLink(t, "1.7 with "+what, err)
	}
}

func TestThreat08_DuplicateClaimsAreRefused(t *testing.T) {
	text, err := json.Marshal(ofOne())
	if err != nil {
		t.Fatal(err)
	}
	store := newStore(newClock())
	for name := range ofOne() {
		twice := fmt.Sprintf(`{%q:"x",%s`, name, text[1:])
		_, err := open(store, linkOf(t, signer(), twice))
		wantBadLink(t, name+" twice", err)
	}
}

func TestThreat10_AnotherServiceAccountsTokenIsRefused(t *testing.T) {
	other, err := tokentest.New()
	if err != nil {
		t.Fatal(err)
	}
	for shape, build := range shapes {
		_, err := open(newStore(newClock()), linkOf(t, other, build()))
		wantBadLink(t, shape+" of another account", err)
	}
}

// TestALinkLivesNoLongerThanTheDeploymentSays: what it granted is on record only so long,
// whoever gave it out.
func TestALinkLivesNoLongerThanTheDeploymentSays(t *testing.T) {
	for shape, claims := range shapes {
		claims := claims()
		claims["exp"], claims["end"] = iat+int64(6*time.Hour/time.Second), iat+int64(time.Hour/time.Second)
		if claims["duration"] != nil {
			claims["duration"] = int64(time.Hour / time.Second)
		}
		link := linkOf(t, signer(), claims)
		now := newClock()
		half := func(c *token.Config) { c.Lifetime = 30 * time.Minute }
		now.advance(30*time.Minute - time.Second)
		if _, err := open(newStore(now, half), link); err != nil {
			t.Errorf("%s: %v", shape, err)
		}
		now.advance(time.Second)
		if _, err := open(newStore(now, half), link); access.AsError(err) == nil || access.AsError(err).Code != access.CodeLinkExpired {
			t.Errorf("%s: %v", shape, err)
		}
	}
}

func TestThreat11_Clock(t *testing.T) {
	for _, c := range []struct {
		what  string
		shape string
		after time.Duration // from iat to the time of opening
		exp   time.Duration // from iat
		end   time.Duration // from iat
		code  access.Code   // empty: it opens
	}{
		{"at once", "one", 0, time.Hour, time.Hour, ""},
		{"a clock 60 s behind", "one", -60 * time.Second, time.Hour, time.Hour, ""},
		{"a clock 61 s behind", "one", -61 * time.Second, time.Hour, time.Hour, access.CodeBadLink},
		{"made tomorrow", "one", -24 * time.Hour, time.Hour, time.Hour, access.CodeBadLink},
		{"the last second", "one", time.Hour - time.Second, time.Hour, time.Minute, ""},
		{"at exp", "one", time.Hour, time.Hour, 8 * time.Hour, access.CodeLinkExpired},
		{"after exp", "one", time.Hour + time.Second, time.Hour, 8 * time.Hour, access.CodeLinkExpired},
		{"a year later", "one", 366 * 24 * time.Hour, time.Hour, 8 * time.Hour, access.CodeLinkExpired},
		{"just before six hours", "one", 6*time.Hour - time.Second, 6 * time.Hour, time.Hour, ""},
		{"six hours after iat", "one", 6 * time.Hour, 6 * time.Hour, 8 * time.Hour, access.CodeLinkExpired},
		{"just before six hours", "1.8", 6*time.Hour - time.Second, 12 * time.Hour, 8 * time.Hour, ""},
		{"six hours after iat, exp is later", "1.8", 6 * time.Hour, 12 * time.Hour, 8 * time.Hour, access.CodeLinkExpired},
		{"a second before its own end", "1.8", 5*time.Minute - time.Second, time.Hour, 5 * time.Minute, ""},
		{"at its own end", "1.8", 5 * time.Minute, time.Hour, 5 * time.Minute, access.CodeWindowOver},
		{"after its own end", "1.7", 10 * time.Minute, time.Hour, 5 * time.Minute, access.CodeWindowOver},
		{"after exp and end", "1.8", 2 * time.Hour, time.Hour, 5 * time.Minute, access.CodeLinkExpired},
	} {
		claims := shapes[c.shape]()
		claims["exp"], claims["end"] = iat+int64(c.exp/time.Second), iat+int64(c.end/time.Second)
		if c.shape == "one" {
			claims["duration"] = int64(c.end / time.Second)
		}
		now := newClock()
		now.advance(c.after)
		longest := func(c *token.Config) { c.Lifetime = access.LinkLife }
		_, err := open(newStore(now, longest), linkOf(t, signer(), claims))
		what := c.shape + " " + c.what
		switch c.code {
		case "":
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		case access.CodeBadLink:
			wantBadLink(t, what, err)
		default:
			wantError(t, what, err, access.Gone, c.code)
		}
	}
}

// Incident 14: "expired" was said of a token whose signature was bad as well.
func TestThreat11_ExpiredAndForgedIsForged(t *testing.T) {
	now := newClock()
	ref := linkOf(t, signer(), ofOne())
	now.advance(7 * time.Hour)
	store := newStore(now)
	_, err := open(store, ref)
	wantError(t, "expired", err, access.Gone, access.CodeLinkExpired)
	flipped := byte('A')
	if ref[len(ref)-10] == 'A' {
		flipped = 'B'
	}
	_, err = open(store, ref[:len(ref)-10]+string(flipped)+ref[len(ref)-9:])
	wantBadLink(t, "expired and forged", err)
	c := ofOne()
	c["purpose"] = "approval"
	_, err = open(store, linkOf(t, signer(), c))
	wantBadLink(t, "expired and for another purpose", err)
}

func FuzzClaims(f *testing.F) {
	for _, build := range shapes {
		text, err := json.Marshal(build())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	for _, text := range []string{`{}`, `null`, `{"iss":1}`, `{"entitlements":[]}`, `{"reviewers":null}`, `{"start":-9223372036854775808,"end":9223372036854775807}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := token.ReadClaims([]byte(text), account)
		if err != nil {
			return
		}
		if len(r.Entitlements) == 0 || len(r.Reviewers) == 0 || r.Duration < time.Minute || r.Entitlements[0].Resource != r.Resource ||
			!r.Expires.After(r.Created) || r.Expires.Sub(r.Created) > 6*time.Hour {
			t.Fatalf("accepted %+v", r)
		}
		if !r.Fixed.IsZero() {
			return
		}
		// What was read can be written again, and is then the same request.
		again, err := token.WriteClaims(r, account)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := token.ReadClaims(again, account); err != nil || back.FullDigest() != r.FullDigest() {
			t.Fatalf("read %+v, %v; written %+v", back, err, r)
		}
	})
}
