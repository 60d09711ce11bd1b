package main

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/token"
)

// linkOf is the link form of a token.
func linkOf(t *testing.T, signed string) string {
	t.Helper()
	ref, err := token.EncodeLink(signed)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// refusesLink lets a reviewer try a link in every way, and the policy stay as it is.
func (w *world) refusesLink(rule, who, ref string, statuses string) {
	w.t.Helper()
	w.pass(10 * time.Second)
	f := url.Values{"verdict": {"approve"}}
	for way, a := range map[string]answer{
		"page":    w.page(who, reviewPath(ref)),
		"approve": w.form(who, reviewPath(ref), f),
		"api":     w.api(who, decideURL(ref), nil),
		"decide":  w.api(who, decideURL(ref), dict{}),
	} {
		if a.status < 400 || a.status >= 500 || !strings.Contains(statuses, strconv.Itoa(a.status)) {
			w.t.Errorf("%s, %s: %d, want one of %s: %.300s", rule, way, a.status, statuses, a.body)
		}
		if strings.Contains(a.body, ref) && len(ref) > 100 {
			w.t.Errorf("%s, %s: the answer repeats the link", rule, way)
		}
	}
}

// TestThreat10_OnlyOurOwnActivationTokensOpen: whatever else is signed, or looks like
// it, is refused, and grants nothing.
func TestThreat10_OnlyOurOwnActivationTokensOpen(t *testing.T) {
	w := newWorld(t, surroundings{})
	ref, id := w.ask()
	good, err := token.DecodeLink(ref)
	if err != nil {
		t.Fatal(err)
	}
	header, claims := parts(t, good)
	before, _ := w.cloud.Policy("projects/" + project)
	account := w.cloud.ServiceAccount()
	const other = "deployer@shop-build.iam.gserviceaccount.com"
	edit := func(old, new string) string {
		edited := strings.Replace(claims, old, new, 1)
		if edited == claims {
			t.Fatalf("the claims have no %q: %s", old, claims)
		}
		return edited
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(claims string) string { return linkOf(t, w.signAsAccount(claims)) }
	tests := []struct{ rule, ref string }{
		{"another service account's key under our key's id", linkOf(t, compact(header, claims, func(s string) []byte {
			d := sha256.Sum256([]byte(s))
			signature, err := rsa.SignPKCS1v15(rand.Reader, stranger, crypto.SHA256, d[:])
			if err != nil {
				t.Fatal(err)
			}
			return signature
		}))},
		{"HS256", linkOf(t, compact(strings.Replace(header, "RS256", "HS256", 1), claims, func(s string) []byte {
			m := hmac.New(sha256.New, []byte(w.get("/service_accounts/v1/metadata/jwk/"+account)))
			m.Write([]byte(s))
			return m.Sum(nil)
		}))},
		{"alg none", linkOf(t, compact(strings.Replace(header, "RS256", "none", 1), claims, func(string) []byte { return []byte{0} }))},
		{"Identity-Aware Proxy's assertion", linkOf(t, w.assertion(bob))},
		{"issued by another service account", signed(edit(`"iss":"`+account+`"`, `"iss":"`+other+`"`))},
		{"for another service account", signed(edit(`"aud":"`+account+`"`, `"aud":"`+other+`"`))},
		{"another purpose", signed(edit(`"purpose":"activation"`, `"purpose":"approval"`))},
		{"no purpose", signed(edit(`"purpose":"activation",`, ``))},
		{"a claim twice", signed(edit(`"purpose":"activation"`, `"purpose":"activation","reviewers":["carol@example.com"]`))},
		{"a claim twice in other letters", signed(edit(`"purpose":"activation"`, `"purpose":"activation","Reviewers":["carol@example.com"]`))},
		{"a claim that is not ours", signed(edit(`"purpose":"activation"`, `"purpose":"activation","admin":true`))},
		{"a number as text", signed(edit(`"duration":1800`, `"duration":"1800"`))},
		{"a duration that is not its window's", signed(edit(`"duration":1800`, `"duration":3600`))},
		{"the id of a self-activation", signed(edit(`"jti":"mpa-`, `"jti":"jit-`))},
		{"an id with a line break", signed(edit(`"jti":"mpa-`, `"jti":"mpa\n`))},
		{"no reviewers", signed(edit(`["`+bob+`"]`, `[]`))},
		{"a service account for a requester", signed(edit(`"beneficiary":"`+alice, `"beneficiary":"`+other))},
		{"line breaks in the justification", signed(edit("Node 7 hangs", `Node\n7`))},
		{"bidi controls in the justification", signed(edit("Node 7 hangs", `Node\u202e7`))},
		{"another project's role", signed(edit(project+":roles/compute", "../"+project+":roles/compute"))},
		{"cut off", ref[:len(ref)-1]},
		{"something added", ref + "A"},
		{"as a token, not as a link", good},
		{"percent-encoded twice", url.QueryEscape(url.QueryEscape(ref)) + "%7E"},
		{"empty", ""},
		{"dots", strings.Repeat(".", 8000)},
		{"tildes", strings.Repeat("~", 8000)},
		{"a null byte", ref + "\x00"},
		{"not UTF-8", ref + "\xff\xfe"},
	}
	for _, test := range tests {
		w.refusesLink(test.rule, bob, test.ref, "400 404 413")
	}
	// What is signed, and says that she may decide on herself.
	own := signed(edit(`["`+bob+`"]`, `["`+bob+`","`+alice+`"]`))
	w.api(alice, decideURL(own), dict{}).expect(t, 403, "own-request")
	w.form(alice, reviewPath(own), url.Values{"verdict": {"approve"}}).expect(t, 403)
	if after, _ := w.cloud.Policy("projects/" + project); string(after) != string(before) {
		t.Errorf("the policy changed:\n%s", after)
	}
	w.page(carol, reviewPath(ref)).expect(t, 403)
	w.api(carol, decideURL(ref), dict{}).expect(t, 403)
	w.pass(10 * time.Second)
	w.api(bob, decideURL(ref), dict{}).expect(t, 200, `"ACTIVE"`)
	if w.granted(id) != 1 || strings.Contains(w.log.String(), "panic") {
		t.Errorf("%d grants; %s", w.granted(id), w.log.String())
	}
}

// TestThreat10_EveryMutationOfALinkIsRefused changes every single byte.
func TestThreat10_EveryMutationOfALinkIsRefused(t *testing.T) {
	w := newWorld(t, surroundings{environment: map[string]string{"ACTIVATION_REQUEST_TIMEOUT": "360"}})
	ref, id := w.ask()
	before, _ := w.cloud.Policy("projects/" + project)
	for i := range len(ref) {
		w.pass(2 * time.Second)
		changed := ref[:i] + string([]byte{ref[i] ^ 1}) + ref[i+1:]
		if a := w.api(bob, decideURL(changed), dict{}); a.status != 404 && a.status != 400 {
			t.Errorf("byte %d: %d %s", i, a.status, a.body)
		}
	}
	if after, _ := w.cloud.Policy("projects/" + project); string(after) != string(before) || w.granted(id) != 0 {
		t.Errorf("the policy changed:\n%s", after)
	}
	w.pass(time.Minute)
	w.api(bob, decideURL(ref), dict{}).expect(t, 200)
}

// TestAMegabyteOfDotsIsRefused wherever it is sent, and the service goes on.
func TestAMegabyteOfDotsIsRefused(t *testing.T) {
	w := newWorld(t, surroundings{})
	dots := strings.Repeat(".", 1<<20)
	assertion := w.assertion(bob)
	for name, send := range map[string]func() answer{
		"in the address": func() answer { return w.page(bob, "/review?activation="+dots) },
		"as a path":      func() answer { return w.page(bob, "/access/projects/"+dots) },
		"in a form":      func() answer { return w.form(bob, "/review?activation=x", url.Values{"comment": {dots}}) },
		"in JSON":        func() answer { return w.api(bob, selfURL, selfBody(dict{"justification": dots})) },
		"as the assertion": func() answer {
			r := w.request("GET", "/", nil)
			r.Header.Set("X-Goog-Iap-Jwt-Assertion", dots)
			return w.send("", r)
		},
		"in another header": func() answer {
			r := w.request("GET", "/", nil)
			r.Header.Set("X-Anything", dots)
			return w.send(bob, r)
		},
		"after the assertion": func() answer {
			r := w.request("GET", "/", nil)
			r.Header.Set("X-Goog-Iap-Jwt-Assertion", assertion+dots)
			return w.send("", r)
		},
		"in nested JSON lists": func() answer { return w.api(bob, selfURL, dict{"entitlementIds": strings.Split(dots[:60000], "")}) },
	} {
		// Status 0: the server hung up before everything was sent.
		if a := send(); a.status != 0 && (a.status < 400 || a.status >= 500) {
			t.Errorf("%s: %d %.200s", name, a.status, a.body)
		} else if len(a.body) > 64<<10 {
			t.Errorf("%s: the answer has %d bytes", name, len(a.body))
		}
	}
	w.page(bob, "/").expect(t, 200)
	if strings.Contains(w.log.String(), "panic") {
		t.Error(w.log.String())
	}
}

// TestThreat03_AReplayedLinkRevivesNothing.
func TestThreat03_AReplayedLinkRevivesNothing(t *testing.T) {
	w := newWorld(t, surroundings{environment: map[string]string{"ACTIVATION_REQUEST_TIMEOUT": "300"}})
	approved := func() (ref, id string) {
		ref, id = w.ask()
		w.api(bob, decideURL(ref), dict{}).expect(t, 200, `"ACTIVE"`)
		return ref, id
	}
	replay := func(rule, ref, id, statuses string, stands int) {
		w.t.Helper()
		for _, a := range []answer{w.api(bob, decideURL(ref), dict{}), w.form(bob, reviewPath(ref), url.Values{"verdict": {"approve"}})} {
			if !strings.Contains(statuses, strconv.Itoa(a.status)) {
				t.Errorf("%s: %d, want %s: %s", rule, a.status, statuses, a.body)
			}
		}
		if n := w.granted(id); n != stands {
			t.Errorf("%s: %d bindings, want %d", rule, n, stands)
		}
		if w.page(bob, reviewPath(ref)); w.cloud.Allowed("user:"+alice, "roles/compute.instanceAdmin.v1", "projects/"+project, time.Now().Add(time.Duration(w.ahead.Load()))) {
			t.Errorf("%s: there is access again", rule)
		}
	}
	end := func(id string) {
		w.api(alice, "/api/requests/"+url.PathEscape(id)+"/end", dict{"resource": "projects/" + project}).expect(t, 200, "ENDED")
	}

	ref, id := approved()
	undecided, undecidedID := w.ask()
	w.pass(31 * time.Minute)
	replay("after its end", ref, id, "410", 1)

	ref, id = approved()
	w.pass(time.Minute)
	end(id)
	replay("ended early", ref, id, "410", 1)

	// Six hours later the next write for the role clears what is over; by then no
	// link to it opens.
	w.pass(6*time.Hour + time.Minute)
	late, lateID := approved()
	if n := w.granted(id); n != 0 {
		t.Errorf("%d bindings of six hours ago stand", n)
	}
	end(lateID)
	replay("cleared", ref, id, "410", 0)
	replay("cleared, and another ended", late, lateID, "410", 1)
	replay("never decided", undecided, undecidedID, "410", 0)
}
