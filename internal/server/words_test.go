package server

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
)

// codes reads every Code constant of package access from its source, with the
// arguments that its comment allows.
func codes(t *testing.T) map[access.Code][]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../access/error.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	found := map[access.Code][]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != "Code" {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		found[access.Code(value)] = regexp.MustCompile(`[a-z]+`).FindAllString(spec.Comment.Text(), -1)
		return true
	})
	if len(found) < 60 {
		t.Fatalf("only %d codes found", len(found))
	}
	return found
}

func TestEveryCodeHasWords(t *testing.T) {
	for code, args := range codes(t) {
		w, ok := texts[code]
		if !ok || w.Text == "" {
			t.Errorf("%s has no text", code)
			continue
		}
		for _, p := range placeholder.FindAllString(w.Text+w.Next, -1) {
			name := strings.Trim(p, "{}")
			if !slices.Contains(args, name) {
				t.Errorf("%s uses %s, which package access does not promise", code, p)
			}
			if unsaid[name] == "" {
				t.Errorf("%s has no words for when it is left out", p)
			}
		}
		said := say(&access.Error{Kind: access.Invalid, Code: code})
		if strings.ContainsAny(said.Text+said.Next, "{}") {
			t.Errorf("%s leaves a placeholder: %s %s", code, said.Text, said.Next)
		}
		if !strings.HasSuffix(w.Text, ".") {
			t.Errorf("%s is no sentence: %s", code, w.Text)
		}
	}
}

func TestRefusalsWithoutTheirArgumentsReadWell(t *testing.T) {
	for _, e := range []*access.Error{
		{Kind: access.Invalid, Code: access.CodeBadResource},
		{Kind: access.Invalid, Code: access.CodeBadResource, Args: access.Args{"resource": ""}},
		{Kind: access.Invalid, Code: access.CodeBadStart},
	} {
		if w := say(e); strings.Contains(w.Text+w.Next, "the project") || strings.Contains(w.Text+w.Next, "the maximum") {
			t.Errorf("%s: %s %s", e.Code, w.Text, w.Next)
		}
	}
	w := say(&access.Error{Kind: access.Invalid, Code: access.CodeBadStart, Args: access.Args{"max": "24"}})
	if !strings.Contains(w.Next, "at most 24 hours") {
		t.Errorf("with its argument: %s", w.Next)
	}
}

func TestRefusalsSayWhatToDoNext(t *testing.T) {
	for code, w := range texts {
		if w.Next == "" && code != access.CodeInventoryOnly {
			t.Errorf("%s does not say what to do", code)
		}
	}
}

func TestEveryKindHasAStatusAndATitle(t *testing.T) {
	seen := map[int]access.Kind{}
	for k := access.Internal; k <= access.TimedOut; k++ {
		status := statusOf(&access.Error{Kind: k})
		if status < 400 || titles[status] == "" {
			t.Errorf("%s is %d, titled %q", k, status, titles[status])
		}
		if other, ok := seen[status]; ok {
			t.Errorf("%s and %s are both %d", k, other, status)
		}
		seen[status] = k
	}
	for code, want := range map[access.Code]int{access.CodeMethod: http.StatusMethodNotAllowed, access.CodeTooLarge: http.StatusRequestEntityTooLarge,
		access.CodeMediaType: http.StatusUnsupportedMediaType} {
		if got := statusOf(&access.Error{Kind: access.Invalid, Code: code}); got != want {
			t.Errorf("%s is %d", code, got)
		}
	}
}

func TestInternalHidesItsText(t *testing.T) {
	for _, err := range []error{errors.New("dial 10.0.0.1"), &access.Error{Kind: access.Internal, Code: access.CodeBadInput, Args: access.Args{"reason": "dial 10.0.0.1"}}} {
		if w := say(access.AsError(err)); strings.Contains(w.Text+w.Next, "10.0.0.1") {
			t.Errorf("shows %q", w.Text)
		}
	}
}

func TestArgumentsAreNotExpandedTwiceAndAreCut(t *testing.T) {
	w := say(&access.Error{Kind: access.Invalid, Code: access.CodeBadInput, Args: access.Args{"reason": "{account} " + strings.Repeat("é", 500)}})
	if !strings.Contains(w.Text, "{account}") || len(w.Text) > 400 {
		t.Errorf("%d bytes: %.80s", len(w.Text), w.Text)
	}
}

func TestARefusalByVPCServiceControlsShowsItsIdentifier(t *testing.T) {
	for _, code := range []access.Code{access.CodeServiceNotAllowed, access.CodePlatformRefused, access.CodeCallRefused} {
		e := &access.Error{Kind: access.Upstream, Code: code, Args: access.Args{"resource": "projects/p", "violation": "AAbbCC11-ddEE"}}
		if w := say(e); !strings.Contains(w.Text, "VPC Service Controls") || !strings.Contains(w.Text, "AAbbCC11-ddEE") {
			t.Errorf("%s: %q", code, w.Text)
		}
		delete(e.Args, "violation")
		if w := say(e); strings.Contains(w.Text, "VPC") {
			t.Errorf("%s: %q", code, w.Text)
		}
	}
}

func TestTimesInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Minute: "1 minute", 45 * time.Minute: "45 minutes", time.Hour: "1 hour", 90 * time.Minute: "1 hour 30 minutes", 2 * time.Hour: "2 hours",
		26*time.Hour + time.Minute: "26 hours 1 minute"} {
		if got := inWords(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "just now", time.Second: "in less than a minute", 30 * time.Minute: "in 30 minutes", -90 * time.Second: "1 minute ago",
		-30 * time.Second: "just now", 49 * time.Hour: "in 2 days", -24 * time.Hour: "1 day ago"} {
		if got := relative(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}

// Threat 40: what is remembered of people is bounded.
func TestPaceForgets(t *testing.T) {
	p := newPace(1, 1)
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for i := range 3 * maxPaced {
		p.allow(access.Principal(strconv.Itoa(i)), now)
	}
	if n := len(p.younger) + len(p.elder); n > 2*maxPaced {
		t.Errorf("remembers %d", n)
	}
	if last := access.Principal(strconv.Itoa(3*maxPaced - 1)); p.allow(last, now) {
		t.Error("forgot somebody recent")
	}
}

// idReader reads ids and nothing else.
type idReader struct{ Broker }

func (idReader) ParseEntitlementID(text string) (access.EntitlementID, error) {
	return access.ParseEntitlementID(text)
}

// Whatever stands in a form, reading it neither panics nor yields a duration out of
// range.
func FuzzForm(f *testing.F) {
	f.Add("minutes=15&start=2026-11-22T12:00&entitlement=p:roles/x")
	f.Add("minutes=99999999999999999999")
	f.Add("minutes=-1&minutes= &start=2026-11-22T12:00:00%2B02:00")
	f.Add("entitlement=%ff&id=a&id=b")
	s := &server{Config: Config{Broker: idReader{}}}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "/access/projects/p", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		v, err := form(r)
		if err != nil {
			return
		}
		if d := minutes(v["minutes"]); d != 0 && (d < time.Minute || d > maxMinutes*time.Minute || d%time.Minute != 0) {
			t.Errorf("%q gives %s", v["minutes"], d)
		}
		if at, err := start(v.Get("start")); err == nil && at.Location() != time.UTC {
			t.Errorf("%q gives %s", v.Get("start"), at)
		}
		if ids, err := s.entitlementIDs(v["entitlement"]); err == nil && len(ids) != len(v["entitlement"]) {
			t.Error("lost an entitlement")
		}
	})
}
