package words

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
)

func source(key string) string { return English().messages[key].source }

// placeholders are the names of a message's arguments.
func placeholders(text string) []string {
	var names []string
	for _, found := range regexp.MustCompile(`\{([a-z]+)[},]`).FindAllStringSubmatch(text, -1) {
		names = append(names, found[1])
	}
	return names
}

// Codes reads every Code constant of package access from its source, with the
// arguments that its comment allows.
func Codes(t *testing.T) map[access.Code][]string {
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
	for code, args := range Codes(t) {
		text, next := source(errorKey(code)), source(errorKey(code)+".next")
		if text == "" {
			t.Errorf("%s has no text", code)
			continue
		}
		for _, name := range placeholders(text + next) {
			if name != "provider" && !slices.Contains(args, name) {
				t.Errorf("%s uses {%s}, which package access does not promise", code, name)
			}
			if source("unsaid."+name) == "" {
				t.Errorf("{%s} has no words for when it is left out", name)
			}
		}
		said := English().Refusal(&access.Error{Kind: access.Invalid, Code: code}, "Google")
		if strings.ContainsAny(said.Text+said.Next, "{}") {
			t.Errorf("%s leaves a placeholder: %s %s", code, said.Text, said.Next)
		}
		if !strings.HasSuffix(text, ".") {
			t.Errorf("%s is no sentence: %s", code, text)
		}
	}
}

func TestRefusalsWithoutTheirArgumentsReadWell(t *testing.T) {
	for _, e := range []*access.Error{
		{Kind: access.Invalid, Code: access.CodeBadResource},
		{Kind: access.Invalid, Code: access.CodeBadResource, Args: access.Args{"resource": ""}},
		{Kind: access.Invalid, Code: access.CodeBadStart},
	} {
		if w := English().Refusal(e, "Google"); strings.Contains(w.Text+w.Next, "the project") || strings.Contains(w.Text+w.Next, "the maximum") {
			t.Errorf("%s: %s %s", e.Code, w.Text, w.Next)
		}
	}
	w := English().Refusal(&access.Error{Kind: access.Invalid, Code: access.CodeBadStart, Args: access.Args{"max": "24"}}, "Google")
	if !strings.Contains(w.Next, "at most 24 hours") {
		t.Errorf("with its argument: %s", w.Next)
	}
}

func TestRefusalsSayWhatToDoNext(t *testing.T) {
	for code := range Codes(t) {
		if source(errorKey(code)+".next") == "" && code != access.CodeInventoryOnly {
			t.Errorf("%s does not say what to do", code)
		}
	}
}

func TestInternalHidesItsText(t *testing.T) {
	for _, err := range []error{errors.New("dial 10.0.0.1"),
		&access.Error{Kind: access.Internal, Code: access.CodeBadInput, Args: access.Args{"reason": "dial 10.0.0.1"}}} {
		if w := English().Refusal(access.AsError(err), "Google"); strings.Contains(w.Text+w.Next, "10.0.0.1") {
			t.Errorf("shows %q", w.Text)
		}
	}
}

func TestArgumentsAreNotExpandedTwiceAndAreCut(t *testing.T) {
	w := English().Refusal(&access.Error{Kind: access.Invalid, Code: access.CodeBadInput,
		Args: access.Args{"reason": "{account} " + strings.Repeat("é", 500)}}, "Google")
	if !strings.Contains(w.Text, "{account}") || len(w.Text) > 400 {
		t.Errorf("%d bytes: %.80s", len(w.Text), w.Text)
	}
}

func TestARefusalByVPCServiceControlsShowsItsIdentifier(t *testing.T) {
	for _, code := range []access.Code{access.CodeServiceNotAllowed, access.CodePlatformRefused, access.CodeCallRefused} {
		e := &access.Error{Kind: access.Upstream, Code: code, Args: access.Args{"resource": "projects/p", "violation": "AAbbCC11-ddEE"}}
		if w := English().Refusal(e, "Google"); !strings.Contains(w.Text, "VPC Service Controls") || !strings.Contains(w.Text, "AAbbCC11-ddEE") {
			t.Errorf("%s: %q", code, w.Text)
		}
		delete(e.Args, "violation")
		if w := English().Refusal(e, "Google"); strings.Contains(w.Text, "VPC") {
			t.Errorf("%s: %q", code, w.Text)
		}
	}
}

func TestTimesInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Minute: "1 minute", 45 * time.Minute: "45 minutes", time.Hour: "1 hour",
		90 * time.Minute: "1 hour 30 minutes", 2 * time.Hour: "2 hours",
		26*time.Hour + time.Minute: "26 hours 1 minute"} {
		if got := English().Hours(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "just now", time.Second: "in less than a minute", 30 * time.Minute: "in 30 minutes",
		-90 * time.Second: "1 minute ago",
		-30 * time.Second: "just now", 49 * time.Hour: "in 2 days", -24 * time.Hour: "1 day ago"} {
		if got := English().Relative(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}

// Few names are all told; of many the first are, and how many others there are.
func TestOfManyNamesSomeAreTold(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for tag, want := range map[string][2]string{
		"en": {"a, b, c, d, e, f and g", "a, b, c, d, e and 3 others"},
		"de": {"a, b, c, d, e, f und g", "a, b, c, d, e und 3 weitere"},
		"ja": {"a、b、c、d、e、f、g", "a、b、c、d、e、ほか3人"},
	} {
		l := Tagged(tag)
		plain := strings.NewReplacer("\u2068", "", "\u2069", "")
		if got := [2]string{plain.Replace(l.Some(names[:7])), plain.Replace(l.Some(names))}; got != want {
			t.Errorf("%s: %q, want %q", tag, got, want)
		}
	}
	if strings.Join(names, "") != "abcdefgh" {
		t.Errorf("has changed the names: %v", names)
	}
}
