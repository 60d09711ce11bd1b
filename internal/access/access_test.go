package access_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
)

func TestPrincipal(t *testing.T) {
	tests := []struct{ in, want string }{
		{"ana@example.com", "ana@example.com"},
		{"ANA@Example.COM", "ana@example.com"},
		{"o'brien@example.com", "o'brien@example.com"},
		{"a.b+c_d=e@sub.example.com", "a.b+c_d=e@sub.example.com"},
		{"", ""},
		{"ana", ""},
		{"@example.com", ""},
		{"ana@", ""},
		{"ana@example.com@evil.com", ""},
		{"ana@example.com ", ""},
		{"ana@example..com", ""},
		{"ana@-example.com", ""},
		{".ana@example.com", ""},
		{"ana.@example.com", ""},
		{"a..b@example.com", ""},
		{`"ana"@example.com`, ""},
		{`"a@evil.com> ORCPT=x"@example.com`, ""},
		{"Ana <ana@example.com>", ""},
		{"ana@example.com\r\nBcc: x@example.com", ""},
		{"ana@example.com\x00", ""},
		{"ana@[127.0.0.1]", ""},
		{"user:ana@example.com", ""},
		{"robot@project.iam.gserviceaccount.com", ""},
		{"robot@appspot.GServiceAccount.com", ""},
		{strings.Repeat("a", 250) + "@x.de", ""},
		// Threat 7: Unicode folding would make these ASCII.
		{"\u212aim@example.com", ""},
		{"\u0130an@example.com", ""},
		{"ana@example.com\u202e", ""},
		{"\uff41na@example.com", ""},
	}
	for _, test := range tests {
		got, err := access.ParsePrincipal(test.in)
		if string(got) != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%q: got %q, %v; want %q", test.in, got, err, test.want)
		}
	}
}

// The same rule as one regular expression.
var principalPattern = regexp.MustCompile(
	`^[a-z0-9!#$%&'*+/=?^_{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_{|}~-]+)*@[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

func FuzzPrincipal(f *testing.F) {
	for _, seed := range []string{"ana@example.com", "o'brien@x", "a..b@x", ".a@x", "a.@x", "a@x.", "a@.x", "a@-x", "a@x-", "a@x.-y", "a@@x", "@", "a", "a`b@x",
		"a@" + strings.Repeat("x", 63), "a@" + strings.Repeat("x", 64), "a@x\n", "\u212aim@x", "a@x.gserviceaccount.com", "A@X", "a@x_y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		lower := strings.Map(func(r rune) rune {
			if 'A' <= r && r <= 'Z' {
				r += 'a' - 'A'
			}
			return r
		}, address)
		want := len(address) <= 254 && principalPattern.MatchString(lower) && !strings.HasSuffix(lower, ".gserviceaccount.com")
		if p, err := access.ParsePrincipal(address); (err == nil) != want || want && string(p) != lower {
			t.Errorf("%q: got %q, %v; want %t", address, p, err, want)
		}
	})
}

func TestResource(t *testing.T) {
	tests := []struct {
		in string
		ok bool
	}{
		{"projects/shop-1", true},
		{"projects/example.com:shop", true},
		{"folders/123", true},
		{"organizations/456", true},
		{"", false},
		{"shop", false},
		{"projects/", false},
		{"projects/../../evil", false},
		{"projects/a/b", false},
		{"projects/..:a", false},
		{"projects/a?x", false},
		{"projects/a%2fb", false},
		{"projects/A", false},
		{"folders/x", true},
		{"organizations/1/2", false},
		{"apps/x", true},
		{"apps/..", false},
		{"apps/.", false},
		{"apps/x/", false},
		{"Apps/x", false},
		{"apps2/x", false},
		{"projects/" + strings.Repeat("a", 64), false},
		{"projects/" + strings.Repeat("a", 300) + ":b", false},
	}
	for _, test := range tests {
		got, err := access.ParseResource(test.in)
		if (err == nil) != test.ok || (test.ok && string(got) != test.in) {
			t.Errorf("%q: got %q, %v; want ok %v", test.in, got, err, test.ok)
		}
	}
}

func TestEntitlementID(t *testing.T) {
	tests := []struct {
		in   string
		want access.EntitlementID
	}{
		{"project-1:roles/for-user", access.EntitlementID{Resource: "projects/project-1", Role: "roles/for-user"}},
		{"project-1:roles/forUser", access.EntitlementID{Resource: "projects/project-1", Role: "roles/forUser"}},
		{"project-1:roles/forUser:", access.EntitlementID{Resource: "projects/project-1", Role: "roles/forUser"}},
		{"project-1:roles/forUser:cmVzb3VyY2UubmFtZSA9PSAicmVzb3VyY2UtMSI=", access.EntitlementID{Resource: "projects/project-1", Role: "roles/forUser", Condition: `resource.name == "resource-1"`}},
		{"project-1:roles/forUser:cmVzb3VyY2UubmFtZSA9PSAicmVzb3VyY2UtMSI", access.EntitlementID{Resource: "projects/project-1", Role: "roles/forUser", Condition: `resource.name == "resource-1"`}},
		{"example.com:app:roles/x.y", access.EntitlementID{Resource: "projects/example.com:app", Role: "roles/x.y"}},
		{"app:projects/app/roles/custom", access.EntitlementID{Resource: "projects/app", Role: "projects/app/roles/custom"}},
		{"example.com:app:projects/example.com:app/roles/custom:YQ==", access.EntitlementID{Resource: "projects/example.com:app", Role: "projects/example.com:app/roles/custom", Condition: "a"}},
		{"app:organizations/12/roles/custom", access.EntitlementID{Resource: "projects/app", Role: "organizations/12/roles/custom"}},
		{"folders/12:roles/x", access.EntitlementID{Resource: "folders/12", Role: "roles/x"}},
		{"", access.EntitlementID{}},
		{":", access.EntitlementID{}},
		{"app", access.EntitlementID{}},
		{"app:", access.EntitlementID{}},
		{":roles/x", access.EntitlementID{}},
		{"app:roles/", access.EntitlementID{}},
		{"app:roles/x:*", access.EntitlementID{}},
		{"app:roles/x:YQ==:YQ==", access.EntitlementID{}},
		{"app:roles/x:/w==", access.EntitlementID{}}, // not UTF-8
		{"../app:roles/x", access.EntitlementID{}},
		{"app:roles/../x", access.EntitlementID{}},
		{"app:roles/" + strings.Repeat("x", 9000), access.EntitlementID{}},
	}
	for _, test := range tests {
		got, err := access.ParseEntitlementID(test.in)
		if got != test.want || (err == nil) != (test.want != access.EntitlementID{}) {
			t.Errorf("%q: got %+v, %v; want %+v", test.in, got, err, test.want)
		}
		if err == nil {
			if again, err := access.ParseEntitlementID(got.String()); again != got || err != nil {
				t.Errorf("%q prints as %q, which reads as %+v, %v", test.in, got, again, err)
			}
		}
	}
}

func FuzzEntitlementID(f *testing.F) {
	for _, seed := range []string{"p:roles/x", "a.com:p:roles/x:YQ==", "p:projects/p/roles/x", "folders/1:roles/x:", "p:roles/x:YQ=", "::"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := access.ParseEntitlementID(text)
		if err != nil {
			return
		}
		if again, err := access.ParseEntitlementID(id.String()); err != nil || again != id {
			t.Errorf("%q reads as %+v, prints as %q, which reads as %+v, %v", text, id, id, again, err)
		}
		if strings.Contains(string(id.Resource)+string(id.Role), "..") {
			t.Errorf("%q leaves its path", text)
		}
	})
}

func TestJustification(t *testing.T) {
	tests := []struct {
		rule, text string
		want       error
	}{
		{"plain", "case 42", nil},
		{"every script", "Größe 修正 إصلاح", nil},
		{"markup is text", "<script>{{.URL}}</script>", nil},
		{"the longest", strings.Repeat("ä", access.MaxJustification), nil},
		{"empty", "", access.ErrJustificationEmpty},
		{"blank", " \t\u00a0", access.ErrJustificationEmpty},
		{"one too many", strings.Repeat("ä", access.MaxJustification+1), access.ErrJustificationLong},
		{"line feed", "a\nb", access.ErrJustificationControl},
		{"carriage return", "a\rb", access.ErrJustificationControl},
		{"tab", "a\tb", access.ErrJustificationControl},
		{"NUL", "a\x00b", access.ErrJustificationControl},
		{"line separator", "a\u2028b", access.ErrJustificationControl},
		{"Threat14: right-to-left override", "a\u202eb", access.ErrJustificationControl},
		{"Threat14: isolate", "a\u2066b", access.ErrJustificationControl},
		{"Threat14: zero width", "a\u200bb", access.ErrJustificationControl},
		{"Threat14: tag characters", "a\U000e0041b", access.ErrJustificationControl},
		{"an emoji as phones send it", "on fire \u2764\ufe0f", nil},
		{"Threat14: Hangul filler", "\u3164", access.ErrJustificationControl},
		{"Threat14: Braille blank", "a\u2800b", access.ErrJustificationControl},
		{"Threat14: grapheme joiner", "a\u034fb", access.ErrJustificationControl},
		{"Threat14: variation selector", "a\U000e0101b", access.ErrJustificationControl},
		{"private use", "a\ue000b", access.ErrJustificationControl},
		{"not UTF-8", "a\xff", access.ErrJustificationControl},
	}
	for _, test := range tests {
		if err := access.CheckJustification(test.text); err != test.want {
			t.Errorf("%s: got %v, want %v", test.rule, err, test.want)
		}
	}
}

func TestRequestID(t *testing.T) {
	random := bytes.NewReader(bytes.Repeat([]byte{0xfb, 0xef}, 12))
	for kind, prefix := range map[access.RequestKind]string{access.Self: "jit-", access.Peers: "mpa-", access.BreakGlass: "brk-"} {
		form, err := access.NewForm(random, kind, "ana@example.com", time.Unix(1, 0))
		id := access.NewRequestID(form, access.Request{Kind: kind})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := access.ParseRequestID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
		if !strings.HasPrefix(id, prefix) || access.KindOfID(id) != kind {
			t.Errorf("%q for %v", id, kind)
		}
	}
	if _, err := access.NewForm(strings.NewReader("sho"), access.Peers, "ana@example.com", time.Unix(1, 0)); err == nil {
		t.Error("no error without randomness")
	}
	for id, ok := range map[string]bool{
		"jit-AAAAAAAAAAAAAAAA": true, "mpa-ab+/ab+/ab+/ab+/": true, "mpa-ab-_ab-_ab-_ab-_": true,
		"brk-AAAAAAAAAAAAAAAA": true, "brkAAAAAAAAAAAAAAAAA": false, "brk-AAAAAAAAAAAAAAA": false,
		"": false, "xyz-AAAAAAAAAAAAAAAA": false, "jit-AAAAAAAAAAAAAAA": false, "jit-AAAAAAAAAAAAAAAAA": false, "jit-AAAAAAAAAAAAAAA]": false, "jit-AAAAAAAAAAAAAAAA\n": false,
	} {
		if _, err := access.ParseRequestID(id); (err == nil) != ok {
			t.Errorf("%q: %v, want ok %v", id, err, ok)
		}
		if kind := access.KindOfID(id); ok && kind == "" {
			t.Errorf("%q is of no kind", id)
		}
	}
}

func request() access.Request {
	return access.Request{
		ID: "mpa-AAAAAAAAAAAAAAAA", Kind: access.Peers, Principal: "ana@example.com", Resource: "projects/p",
		Entitlements:  []access.EntitlementID{{Resource: "projects/p", Role: "roles/x"}, {Resource: "projects/p", Role: "roles/y", Condition: "a"}},
		Justification: "why", Duration: time.Hour, Reviewers: []access.Principal{"ben@example.com", "cho@example.com"},
		Created: time.Unix(1000, 0), Expires: time.Unix(4600, 0),
	}
}

func TestDigestCoversWhatIsGranted(t *testing.T) {
	base := request()
	changes := map[string]func(*access.Request){
		"id":                   func(r *access.Request) { r.ID = "mpa-AAAAAAAAAAAAAAAB" },
		"kind":                 func(r *access.Request) { r.Kind = access.Self },
		"principal":            func(r *access.Request) { r.Principal = "dan@example.com" },
		"resource":             func(r *access.Request) { r.Resource = "projects/q" },
		"an entitlement":       func(r *access.Request) { r.Entitlements[0].Role = "roles/z" },
		"a resource condition": func(r *access.Request) { r.Entitlements[1].Condition = "b" },
		"one entitlement less": func(r *access.Request) { r.Entitlements = r.Entitlements[:1] },
		"justification":        func(r *access.Request) { r.Justification = "because" },
		"duration":             func(r *access.Request) { r.Duration = 2 * time.Hour },
		"start":                func(r *access.Request) { r.Start = time.Unix(2000, 0) },
		"fixed window":         func(r *access.Request) { r.Fixed.End = time.Unix(3000, 0) },
		"text moved across fields": func(r *access.Request) {
			r.Principal, r.Resource = "ana@example.comp", "rojects/p"
		},
	}
	seen, full := map[string]string{base.Digest(): "nothing"}, map[string]string{base.FullDigest(): "nothing", base.Digest(): "nothing"}
	unlike := func(seen map[string]string, what, d string) {
		if before, ok := seen[d]; ok {
			t.Errorf("changing %s gives the digest of changing %s", what, before)
		}
		seen[d] = what
	}
	for what, change := range changes {
		r := request()
		change(&r)
		unlike(seen, what, r.Digest())
		unlike(full, what, r.FullDigest())
	}
	// Who was asked is sent, and no part of what is granted.
	for what, change := range map[string]func(*access.Request){
		"a reviewer":        func(r *access.Request) { r.Reviewers[0] = "eve@example.com" },
		"one reviewer less": func(r *access.Request) { r.Reviewers = r.Reviewers[:1] },
		"one reviewer more": func(r *access.Request) { r.Reviewers = append(r.Reviewers, "eve@example.com") },
		"nobody asked":      func(r *access.Request) { r.Reviewers = nil },
		"two reviewers run together": func(r *access.Request) {
			r.Reviewers = []access.Principal{"ben@example.comcho@example.com"}
		},
	} {
		r := request()
		change(&r)
		if r.Digest() != base.Digest() {
			t.Errorf("%s changes what was approved", what)
		}
		unlike(full, what, r.FullDigest())
	}
	same := map[string]func(*access.Request){
		"order of reviewers":    func(r *access.Request) { r.Reviewers[0], r.Reviewers[1] = r.Reviewers[1], r.Reviewers[0] },
		"order of entitlements": func(r *access.Request) { r.Entitlements[0], r.Entitlements[1] = r.Entitlements[1], r.Entitlements[0] },
		"decisions":             func(r *access.Request) { r.Decisions = []access.Decision{{By: "ben@example.com"}} },
		"state":                 func(r *access.Request) { r.State = access.Denied },
		"version":               func(r *access.Request) { r.Version = 7 },
		"time zone":             func(r *access.Request) { r.Created = r.Created.UTC() },
	}
	for what, change := range same {
		r := request()
		change(&r)
		if r.Digest() != base.Digest() || r.FullDigest() != base.FullDigest() {
			t.Errorf("%s changes the digest", what)
		}
	}
}

func TestWindow(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 999, time.UTC)
	r := request()
	start := now.Truncate(time.Second)
	if got, want := r.WindowAt(now), (access.Window{Start: start, End: start.Add(time.Hour)}); got != want {
		t.Errorf("%v, want %v: from the approval on", got, want)
	}
	r.Start = now.Add(time.Hour)
	if got := r.WindowAt(now); !got.Start.Equal(r.Start.Truncate(time.Second)) || got.Length() != time.Hour {
		t.Errorf("%v: from the requested start on, at full length", got)
	}
	if got := r.WindowAt(now.Add(2 * time.Hour)); !got.Start.Equal(start.Add(2 * time.Hour)) {
		t.Errorf("%v: a requested start that has passed is no start", got)
	}
	w := access.Window{Start: time.Unix(10, 0), End: time.Unix(20, 0)}
	for at, want := range map[int64]bool{9: false, 10: true, 19: true, 20: false} {
		if w.Contains(time.Unix(at, 0)) != want {
			t.Errorf("contains %d: want %v; IAM's end is exclusive", at, want)
		}
	}
}

func TestAsError(t *testing.T) {
	known := &access.Error{Kind: access.Gone, Code: access.CodeLinkExpired}
	tests := []struct {
		in   error
		kind access.Kind
	}{
		{known, access.Gone},
		{fmt.Errorf("wrapped: %w", known), access.Gone},
		{errors.New("plain"), access.Internal},
		{fmt.Errorf("late: %w", context.DeadlineExceeded), access.TimedOut},
	}
	for _, test := range tests {
		if got := access.AsError(test.in); got.Kind != test.kind {
			t.Errorf("%v: %v, want %v", test.in, got.Kind, test.kind)
		}
	}
	if access.AsError(nil) != nil {
		t.Error("nil is no error")
	}
}

func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"Viewer":                      "Viewer",
		"Просмотр 👍️ 閲覧":              "Просмотр 👍️ 閲覧",
		"a\u202eb\u200b\u2066c\u00ad": "a[U+202E]b[U+200B][U+2066]c[U+00AD]",
		"two\r\nlines\tand a \x00":    "two  lines and a [U+0000]",
		"\u2800\u2028\ufeff":          "[U+2800][U+2028][U+FEFF]",
		"\xff":                        "\uFFFD",
	} {
		if got := access.Visible(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

func TestClipCutsAtACharacter(t *testing.T) {
	for _, test := range []struct {
		text string
		max  int
		want string
	}{
		{"", 0, ""}, {"abc", 3, "abc"}, {"abcd", 3, "abc…"}, {"abc", 0, "…"},
		{"aéé", 3, "aé…"}, {"aéé", 2, "a…"}, {"😀", 3, "…"}, {"😀b", 4, "😀…"},
		{"\x80\x80\x80", 2, "…"}, {"a\xff\xff", 2, "a\xff…"},
	} {
		if got := access.Clip(test.text, test.max); got != test.want {
			t.Errorf("Clip(%q, %d) = %q, want %q", test.text, test.max, got, test.want)
		}
	}
}

// The order of ids is that of their text, though that is seldom written for it.
func TestEntitlementIDsAreOrderedByTheirText(t *testing.T) {
	var ids []access.EntitlementID
	for _, resource := range []access.Resource{"projects/p", "projects/p2", "folders/1"} {
		for _, role := range []access.Role{"roles/a", "roles/a.b", "roles/ab", "roles/a-", "roles/a1", "roles/Z", "projects/p/roles/a"} {
			for _, condition := range []string{"", "a", "b > c"} {
				ids = append(ids, access.EntitlementID{Resource: resource, Role: role, Condition: condition})
			}
		}
	}
	for _, a := range ids {
		for _, b := range ids {
			if got, want := access.CompareEntitlementIDs(a, b), strings.Compare(a.String(), b.String()); got != want {
				t.Errorf("%s and %s: %d, want %d", a, b, got, want)
			}
		}
	}
}

// JSON that is shown means what it meant, and obeys nobody.
func TestVisibleJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"a": "Просмотр 👍 閲覧 <&>"}`:                `{"a": "Просмотр 👍 閲覧 <&>"}`,
		"{\n\t\"a\": 1\n}":                          "{\n\t\"a\": 1\n}",
		"[\"a\u009b2Jb\x7f\u202ec\u200b\u2028\"]":   `["a\u009b2Jb\u007f\u202ec\u200b\u2028"]`,
		"[\"a\U000e0041\U0010fffd\"]":               `["a\udb40\udc41\udbff\udffd"]`,
		"[\"a\u2800\u3164\ufe01\U000e0101\ufe0f\"]": "[\"a\\u2800\\u3164\\ufe01\\udb40\\udd01\ufe0f\"]",
		"[1,\r2]":          `[1, 2]`,
		`["\u001b", "\\"]`: `["\u001b", "\\"]`,
	} {
		got := access.VisibleJSON([]byte(text))
		var before, after any
		if json.Unmarshal([]byte(text), &before) != nil || json.Unmarshal(got, &after) != nil || string(got) != want || !reflect.DeepEqual(before, after) {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

func TestACellIsNoFormula(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "a": "a", "a=1": "a=1", "2026-01-01": "2026-01-01", "a, b; c": "a, b; c", " =1": " =1",
		"=1": "'=1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\t=1": "'\t=1", "\r=1": "'\r=1", "＝1": "'＝1", "＋1": "'＋1", "－1": "'－1", "＠x": "'＠x",
		"a;=1": "a;'=1", ";;-1": ";;'-1", `a;"=1"`: `a;'"=1"`, "a\n=1": "a\n'=1", "a\r\n+1": "a\r\n'+1", "a\t@x": "a\t'@x", "=1;=2": "'=1;'=2",
		"\xff=1": "\uFFFD=1", "a\x1b[2Jb\u009bc\u202ed": "a[U+001B][2Jb[U+009B]c[U+202E]d", "\u200b=1": "[U+200B]=1",
	} {
		if got := access.Cell(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
