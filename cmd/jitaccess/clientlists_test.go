package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"jitaccess/internal/sandbox/google"
)

// A project whose policy cannot be read does not hide the others, and scripts are told by the status and by name.
func TestRolesOnWhatCanBeRead(t *testing.T) {
	w := newLoginWorld(t, false, nil)
	alices := shell(t)
	alices.browse = w.visitor().lets(alice, nil)
	alices.must("login", w.public)
	alices.must("roles")
	w.cloud.Faults().Add(google.Fault{Method: "POST", Path: "/v3/projects/data-warehouse-prod:getIamPolicy", Status: 403})
	code, out, said := alices.types("roles")
	if code != exitFailure || !strings.Contains(out, "\n"+project+" ") || strings.Contains(out, "data-warehouse-prod") ||
		!regexp.MustCompile(`(?m)^could not be read: data-warehouse-prod: .+\njitaccess: 1 of [0-9]+ could not be read; the others are listed\n`).MatchString(said) {
		t.Errorf("%d\n%s%s", code, out, said)
	}
	alices.fails(exitFailure, "", "roles", "data-warehouse-prod")
	if _, _, said := alices.types("roles", "data-warehouse-prod"); strings.Contains(said, "the others") {
		t.Errorf("there are no others: %s", said)
	}
	alices.must("roles", project)
}

// What a service answers is printed as it came, but for what a terminal would obey.
func TestAnAnswerDoesNotSpeakToTheTerminal(t *testing.T) {
	const text = "{\"requests\":[{\"activationId\":\"r\",\"justification\":\"a\u009b2J\u202eb <&>\", \"more\": 1.0}]}"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/api/policy" {
			_, _ = w.Write([]byte(`{"signedInUser":{"email":"ana@example.com"}}`))
			return
		}
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(s.Close)
	anas := shell(t)
	anas.typed = "a-token"
	anas.must("login", s.URL, "--token-file", "-")
	if out := anas.must("history", "--json"); out != strings.NewReplacer("\u009b", `\u009b`, "\u202e", `\u202e`).Replace(text)+"\n" {
		t.Errorf("%q", out)
	}
}

// Nor does the address at which somebody is to sign in, as a service says it.
func TestASignInAddressDoesNotSpeakToTheTerminal(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("https://login.example.com/\u009b2J\u202egpj.exe"))
	}))
	t.Cleanup(s.Close)
	anas := shell(t)
	ctx, stop := context.WithCancel(t.Context())
	anas.browse = func(context.Context, string) error { stop(); return nil }
	code, _, said := anas.typesUntil(ctx, "login", s.URL, "--front", "pomerium")
	if code != exitInterrupted || !strings.Contains(said, "  https://login.example.com/") || strings.ContainsAny(said, "\u009b\u202e") {
		t.Errorf("%d %q", code, said)
	}
}

// What goes wrong with one resource is said of it; what would go wrong with each ends the command.
func TestWhatEndsAListOfRoles(t *testing.T) {
	answer := func(status int, media, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(text))
		}
	}
	refusal := func(status int, code string) http.HandlerFunc {
		return answer(status, "application/json", `{"message":"It is\u001b[31m so.","code":"`+code+`","incident":"I"}`)
	}
	for _, test := range []struct {
		name   string
		of     http.HandlerFunc // what is answered of the second of three
		status int
		says   string
		listed bool
	}{
		{"nothing", answer(200, "application/json", `{"entitlements":[]}`), exitOK, "", true},
		{"Google says no", refusal(403, "upstream-denied"), exitFailure, "could not be read: b: It is", true},
		{"Google is in trouble", refusal(502, "upstream-failed"), exitFailure, "could not be read: b: It is", true},
		{"it is gone", refusal(404, "unknown-resource"), exitFailure, "could not be read: b: It is", true},
		{"its quota is spent", refusal(429, "quota"), exitFailure, "could not be read: b: It is", true},
		{"what nobody can read", answer(200, "application/json", `{"entitlements":"x"}`), exitFailure, "could not be read: b: the answer", true},
		{"the log-in is over", refusal(401, "no-identity"), exitSignedOut, "log in again", false},
		{"a proxy wants to know who it is", answer(302, "text/html", ""), exitSignedOut, "log in again", false},
		{"a proxy is in trouble", answer(503, "text/html", ""), exitFailure, "what stands before the service answered 503", false},
		{"nobody answers any more", func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			c.Close()
		}, exitFailure, "cannot be reached", false},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/api/projects":
				answer(200, "application/json", `{"projects":["a","b","c"],"warnings":["w"]}`)(w, r)
			case "/api/projects/b/roles":
				test.of(w, r)
			default:
				answer(200, "application/json", `{"entitlements":[{"id":"x","name":"roles/viewer"}],"warnings":[]}`)(w, r)
			}
		}))
		p := shell(t)
		p.keeps(0o600, `{"origin":"`+s.URL+`","front":"sandbox","token":"alice@example.com"}`)
		code, out, said := p.types("roles")
		if code != test.status || !strings.Contains(said, test.says) || strings.Contains(out, "a ") != test.listed || strings.Contains(out, "c ") != test.listed ||
			strings.Contains(said, "the others are listed") != (test.listed && code != exitOK) || strings.ContainsRune(said, 0x1b) {
			t.Errorf("%s: %d\n%s%s", test.name, code, out, said)
		}
		code, out, said = p.types("roles", "--json")
		var all struct {
			Projects []struct{ Project string }
			Unread   []struct{ Project, Message string }
		}
		if err := json.Unmarshal([]byte(out), &all); code != test.status || (err == nil) != test.listed ||
			test.listed && (len(all.Projects)+len(all.Unread) != 3 || (len(all.Unread) == 1) != (code != exitOK) || all.Unread == nil) {
			t.Errorf("%s: %d, %v\n%s%s", test.name, code, err, out, said)
		}
		s.Close()
	}
}

// Whose requests are asked for is said where only one's own are shown, and never answered with others.
func TestWhoseHistoryIsShown(t *testing.T) {
	w := newLoginWorld(t, false, map[string]string{"AUDITORS": "user:" + carol})
	alices, bobs, carols := shell(t), shell(t), shell(t)
	alices.browse, bobs.browse, carols.browse = w.visitor().lets(alice, nil), w.visitor().lets(bob, nil), w.visitor().lets(carol, nil)
	for _, o := range []*operatorOfShell{alices, bobs, carols} {
		o.must("login", w.public)
	}
	id := numberIn(t, alices.must("request", project, "compute.instanceAdmin.v1", "--reason", "INC-84", "--from", bob))
	for _, test := range []struct {
		name   string
		who    *operatorOfShell
		line   []string
		status int
		says   string
		shown  bool
	}{
		{"one's own", alices, nil, exitOK, "", true},
		{"somebody's, among one's own", alices, []string{"--person", bob}, exitUsage, "--person goes with --view all", false},
		{"one's own, among them", alices, []string{"--person", alice, "--view", "mine"}, exitUsage, "--person goes with --view all", false},
		{"somebody's, of who is no auditor", alices, []string{"--person", bob, "--view", "all"}, exitRefused, "everybody's are for auditors", false},
		{"somebody's, of who has none and is no auditor", bobs, []string{"--person", alice, "--view", "all"}, exitOK, "everybody's are for auditors", false},
		{"somebody's, of who has none and is no auditor, for scripts", bobs, []string{"--person", alice, "--view", "all", "--json"}, exitOK, "everybody's are for auditors", false},
		{"the same for scripts", alices, []string{"--person", bob, "--view", "all", "--json"}, exitRefused, "everybody's are for auditors", false},
		{"all, of who is no auditor", alices, []string{"--view", "all"}, exitOK, "Only your own requests are shown: everybody's are for auditors.\n", true},
		{"all, of who is no auditor and has none", bobs, []string{"--view", "all"}, exitOK, "Only your own requests are shown", false},
		{"all, of who is no auditor, for scripts", alices, []string{"--view", "all", "--json"}, exitOK, "Only your own requests are shown", true},
		{"all, for an auditor", carols, []string{"--view", "all"}, exitOK, "", true},
		{"one's own, of all", alices, []string{"--person", strings.ToUpper(alice[:1]) + alice[1:], "--view", "all"}, exitOK, "", true},
		{"what waits for one, of somebody", bobs, []string{"--person", alice, "--view", "reviews"}, exitOK, "", true},
		{"what waits for one, of another", bobs, []string{"--person", carol, "--view", "reviews"}, exitOK, "", false},
		{"somebody's, for an auditor", carols, []string{"--person", alice, "--view", "all"}, exitOK, "", true},
		{"another's, for an auditor", carols, []string{"--person", bob, "--view", "all"}, exitOK, "None of " + bob + " that you may see.\n", false},
		{"of nobody's address", carols, []string{"--person", "x", "--view", "all"}, exitUsage, "", false},
		{"of no view", carols, []string{"--person", alice, "--view", "theirs"}, exitUsage, "", false},
	} {
		code, out, said := test.who.types(append([]string{"history"}, test.line...)...)
		if code != test.status || !strings.Contains(said, test.says) || strings.Contains(out, id) != test.shown || code != exitOK && out != "" {
			t.Errorf("%s: %d\n%s%s", test.name, code, out, said)
		}
	}
}

// Who gave a token in a file, and is refused, is told what to do about the file: to log in again as before would be refused again.
func TestARefusedTokenOfAFile(t *testing.T) {
	takes, signsIn := false, true
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case takes && r.Header.Get("Authorization") == "Bearer good":
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"signedInUser":{"email":"alice@example.com"},"requests":[],"entitlements":[]}`))
		case signsIn: // a front that leads browsers to its sign-in page
			w.Header().Set("Location", "https://login.example.com/")
			w.WriteHeader(http.StatusFound)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"message":"Nobody is signed in.","code":"no-identity","incident":"I"}`))
		}
	}))
	defer s.Close()
	p := shell(t)
	path := p.home + "/token"
	if err := os.WriteFile(path, []byte("good\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, signsIn = range []bool{true, false} {
		takes = false
		p.typed = "good\n"
		for file, says := range map[string]string{path: "the token in " + path + " is not taken", "-": "the token on standard input is not taken"} {
			p.fails(exitSignedOut, says, "login", s.URL, "--token-file", file)
			if _, _, said := p.types("login", s.URL, "--token-file", file); strings.Contains(said, "log in again") ||
				!strings.Contains(said, "leave --token-file out") || strings.Contains(said, "good") {
				t.Errorf("%s: %s", file, said)
			}
		}
		p.fails(exitUsage, "no such file", "login", s.URL, "--token-file", path+"2")
		takes = true
		p.must("login", s.URL, "--token-file", path)
		p.must("status")
		takes = false
		p.fails(exitSignedOut, "log in again: jitaccess login "+s.URL+" --token-file FILE, with a new token in the file", "status")
		p.must("logout")
	}
}
