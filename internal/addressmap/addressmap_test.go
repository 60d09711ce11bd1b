package addressmap

import (
	"strings"
	"testing"

	"jitaccess/internal/access"
)

func TestAddress(t *testing.T) {
	for _, c := range []struct{ expression, person, want string }{
		{`user.email`, "ana@example.com", "ana@example.com"},
		{`user["email"]`, "ana@example.com", "ana@example.com"},
		{`user.email.extract('{handle}@example.com') + '@test.example.com'`, "ana@example.com", "ana@test.example.com"},
		{`user.email.extract("{handle}@") + "@mail.example.org"`, "ana.ito@example.com", "ana.ito@mail.example.org"},
		{`user.email.endsWith("@external.example.com") ? user.email.extract("{handle}@external.example.com") + "@otherdomain.example" : user.email`,
			"bo@external.example.com", "bo@otherdomain.example"},
		{`user.email.endsWith("@external.example.com") ? user.email.extract("{handle}@external.example.com") + "@otherdomain.example" : user.email`,
			"bo@example.com", "bo@example.com"},
		{`{"ana@example.com": "oncall@example.com"}[user.email]`, "ana@example.com", "oncall@example.com"},
		{`["a@example.com", user.email].filter(x, x.startsWith("ana"))[0]`, "ana@example.com", "ana@example.com"},
		{`has(user.email) ? user.email : "nobody@example.com"`, "ana@example.com", "ana@example.com"},
		{`user.email.matches("^a.*$") ? "A@Example.com" : user.email`, "ana@example.com", "a@example.com"},
		{`dyn(user.email)`, "ana@example.com", "ana@example.com"},
		{"user.email // everybody\n+ ''", "ana@example.com", "ana@example.com"},
	} {
		m, err := Compile(c.expression)
		if err != nil {
			t.Errorf("%s: %v", c.expression, err)
			continue
		}
		if got, err := m.Address(access.Principal(c.person)); got != c.want || err != nil {
			t.Errorf("%s of %s: %q, %v; want %q", c.expression, c.person, got, err, c.want)
		}
	}
}

func TestCompile_Faults(t *testing.T) {
	for expression, says := range map[string]string{
		``:                                       "line 1",
		`user.email +`:                           "line 1, column 13",
		"user.email\n+ email":                    "line 2, column 3: undeclared reference to 'email'",
		`user`:                                   "not a text but map",
		`user.email.size()`:                      "not a text but int",
		`user.email == "a"`:                      "not a text but bool",
		`user.mail`:                              `no "mail"`,
		`user.email.extract()`:                   "no matching overload",
		`extract(user.email, "x")`:               "no matching overload",
		`user.email.extract(1)`:                  "no matching overload",
		`user.email.lower()`:                     "undeclared reference",
		`user.email.replace("a", "b")`:           "undeclared reference",
		`[1].all(x, x > 0)`:                      "not a text but bool",
		`"\xff"+user.email` + "\xff":             "not UTF-8",
		strings.Repeat(" ", 5000) + "user.email": "longer than 4096 bytes",
		strings.Repeat("(", 500) + "user.email":  "",
		strings.Repeat("[", 60) + strings.Repeat("]", 60): "",
	} {
		m, err := Compile(expression)
		if m != nil || err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.60q: %v; want %q", expression, err, says)
		}
	}
}

// What only shows with a person concerns that person.
func TestAddress_Errors(t *testing.T) {
	for expression, says := range map[string]string{
		`{"ana@example.com": "oncall@example.com"}[user.email]`: "no such key",
		`dyn(1)`:                             "not a text but int",
		`user.email.extract("{x}@nowhere.")`: "local@domain",
		`""`:                                 "local@domain",
		`user.email + "\r\nBcc: all@example.com"`: "local@domain",
		`user.email + ",other@example.com"`:       "local@domain",
		`"<" + user.email + ">"`:                  "local@domain",
		`"Ben <" + user.email + ">"`:              "local@domain",
		`user.email + " NOTIFY=SUCCESS"`:          "local@domain",
		`"bot@p.iam.gserviceaccount.com"`:         "service account",
		`"bén@example.com"`:                       "local@domain",
		`user["mail"]`:                            "no such key",
		`string(1 / (user.email.size() - 15))`:    "division by zero",
	} {
		m, err := Compile(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if got, err := m.Address("ben@example.com"); got != "" || err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %q, %v; want %q", expression, got, err, says)
		}
	}
}

// An expression that doubles its text again and again, or loops in loops, ends.
func TestThreat40_AnEvaluationIsBounded(t *testing.T) {
	ten := `[0,1,2,3,4,5,6,7,8,9]`
	loops := ten + `.all(a, ` + ten + `.all(b, ` + ten + `.all(c, ` + ten + `.all(d, ` + ten + `.all(e, ` + ten + `.all(f, true)))))) ? user.email : ""`
	double := `user.email`
	for range 20 {
		double = `[` + double + `].map(x, x + x)[0]`
	}
	for name, expression := range map[string]string{"loops": loops, "doubling": double} {
		m, err := Compile(expression)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := m.Address("ben@example.com"); err == nil || !strings.Contains(err.Error(), "cost limit") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Point 7: extract, with the vectors of JIT Access 1.x.
func TestExtract(t *testing.T) {
	for _, c := range []struct{ text, template, want string }{
		// Section 11 of the reference, and IAM's own documentation of extract().
		{"projects/_/buckets/acme-orders-aaa/objects/x", "buckets/{name}/", "acme-orders-aaa"},
		{"projects/_/buckets/acme-orders-aaa/objects/data/lst/x", "/{start}/", "_"},
		{"projects/_/buckets/acme-orders-aaa", "{name}", "projects/_/buckets/acme-orders-aaa"},
		{"projects/_/buckets/acme-orders-aaa", "buckets/{name}", "acme-orders-aaa"},
		{"projects/_/buckets/acme-orders-aaa", "{empty}/", "projects"},
		{"projects/_/buckets/acme-orders-aaa", "bucket/{empty}/", ""},
		{"ana@example.com", "{handle}@example.com", "ana"},
		{"ana@example.com", "{handle}@other.com", ""},
		{"ana@example.com", "@{domain}", "example.com"},
		{"ana@example.com", "no braces", "ana@example.com"},
		{"ana@example.com", "{", "ana@example.com"},
		{"ana@example.com", "}", "ana@example.com"},
		{"ana@example.com", "", "ana@example.com"},
		{"ana@example.com", "ana{}.com", "@example"},
		{"a{b}c", "a{x}c", "{b}"},
		{"ab", "a{x}b", ""},
		{"", "{x}", ""},
		{"ana@example.com", "{a}@{b}", ""},
		{"x@{b}y", "{a}@{b}", "x"},
		// The closing brace first: both parts overlap, and nothing breaks.
		{"a}b{c", "a}b{", ""},
		{"ana", "}{", ""},
		{"ünï@example.com", "{x}ï", "ün"},
	} {
		if got := extract(c.text, c.template); got != c.want {
			t.Errorf("%q by %q is %q, want %q", c.text, c.template, got, c.want)
		}
	}
}

func FuzzExtract(f *testing.F) {
	f.Add("projects/_/buckets/acme-orders-aaa/objects/x", "buckets/{name}/")
	f.Add("ana@example.com", "}x{")
	f.Add("", "{}")
	f.Fuzz(func(t *testing.T, text, template string) {
		got := extract(text, template)
		if !strings.Contains(text, got) {
			t.Fatalf("%q by %q is %q, which is not in it", text, template, got)
		}
		opened, closed := strings.Index(template, "{"), strings.Index(template, "}")
		if opened < 0 || closed < 0 {
			if got != text {
				t.Fatalf("%q by %q is %q", text, template, got)
			}
			return
		}
		if got != "" && !strings.Contains(text, template[:opened]+got+template[closed+1:]) {
			t.Fatalf("%q by %q is %q, which does not stand there", text, template, got)
		}
	})
}

// No expression breaks anything, and none yields what could not stand in a header.
func FuzzAddress(f *testing.F) {
	f.Add(`user.email.extract('{handle}@example.com') + '@test.example.com'`, "ana@example.com")
	f.Add(`{"a": user}["a"].email`, "ana@example.com")
	f.Add(`[user.email].map(x, x + "\r\n")[0]`, "b@c")
	f.Fuzz(func(t *testing.T, expression, person string) {
		p, err := access.ParsePrincipal(person)
		if err != nil {
			return
		}
		m, err := Compile(expression)
		if err != nil {
			return
		}
		if address, err := m.Address(p); err == nil {
			if _, err := access.ParsePrincipal(address); err != nil {
				t.Fatalf("%q gives %q", expression, address)
			}
		}
	})
}
