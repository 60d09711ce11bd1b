package pomerium

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
)

var now = time.Date(2026, 11, 22, 0, 2, 3, 0, time.UTC)

const (
	ana = access.Principal("ana@example.com")
	ben = access.Principal("ben@example.com")
	eve = access.Principal("eve@example.com")
)

// What the unchanged code of Pomerium's JIT example was seen to write.
func TestRulesAreWrittenAsTheExampleWritesThem(t *testing.T) {
	for _, c := range []struct {
		own  own
		want string
	}{
		{own{principal: "req@example.com"}, `{"allow":{"and":[{"email":"req@example.com"},{"reject":true}]}}`},
		{own{principal: "req@example.com", before: now.Add(time.Hour)},
			`{"allow":{"and":[{"email":"req@example.com"},{"date":{"before":"2026-11-22T01:02:03Z"}}]}}`},
		{own{principal: "o'neil+<x>&y@example.com", before: now.Add(time.Hour), after: now},
			`{"allow":{"and":[{"email":"o'neil+<x>&y@example.com"},{"date":{"after":"2026-11-22T00:02:03Z","before":"2026-11-22T01:02:03Z"}}]}}`},
	} {
		if got := string(c.own.text()); got != c.want {
			t.Errorf("wrote %s, want %s", got, c.want)
		}
		if strings.Contains(c.want, "<") {
			continue // no address of ours
		}
		if read := parseOwn(c.own.text()); read == nil || !read.same(c.own) || read.waits() != c.own.waits() {
			t.Errorf("%s is read as %+v", c.want, read)
		}
	}
}

// Only a rule of exactly our shape is ours: everything else is somebody else's, and stays.
func TestOnlyRulesOfOurShapeAreOurs(t *testing.T) {
	const date = `{"date":{"before":"2026-11-22T01:02:03Z"}}`
	for text, ours := range map[string]bool{
		`{"allow":{"and":[{"email":"a@x.com"},` + date + `]}}`:                                                              true,
		` { "allow" : {"and":[ {"email":"A@x.com"} ,` + date + "\n]}}":                                                      true,
		`{"allow":{"and":[{"email":"a@x.com"},{"date":{"before":"2026-11-22T01:02:03.5+01:00"}}]}}`:                         true,
		`{"allow":{"and":[{"email":"a@x.com"},{"date":{"before":"2026-11-22T01:02:03Z","after":"2026-11-22T00:00:00Z"}}]}}`: true,
		`{"allow":{"and":[{"email":"a@x.com"},{"reject":true}]}}`:                                                           true,

		`{"allow":{"and":[{"email":"a@x.com"},{"reject":false}]}}`:                                                           false,
		`{"allow":{"and":[{"email":"a@x.com"},{"reject":"true"}]}}`:                                                          false,
		`{"allow":{"and":[{"email":{"is":"a@x.com"}},` + date + `]}}`:                                                        false,
		`{"allow":{"or":[{"email":"a@x.com"},` + date + `]}}`:                                                                false,
		`{"deny":{"and":[{"email":"a@x.com"},` + date + `]}}`:                                                                false,
		`{"allow":{"and":[` + date + `,{"email":"a@x.com"}]}}`:                                                               false,
		`{"allow":{"and":[{"email":"a@x.com"},` + date + `,{"claim/groups":"x"}]}}`:                                          false,
		`{"allow":{"and":[{"email":"a@x.com","user":"1"},` + date + `]}}`:                                                    false,
		`{"allow":{"and":[{"email":"a@x.com","email":"b@x.com"},` + date + `]}}`:                                             false,
		`{"allow":{"and":[{"email":"a@x.com"},` + date + `],"or":[]}}`:                                                       false,
		`{"allow":{"and":[{"email":"a@x.com"},` + date + `]},"deny":{"and":[]}}`:                                             false,
		`{"allow":{"and":[{"email":"a@x.com"},` + date + `]},"name":"x"}`:                                                    false,
		`{"Allow":{"and":[{"email":"a@x.com"},` + date + `]}}`:                                                               false,
		`{"allow":{"and":[{"Email":"a@x.com"},` + date + `]}}`:                                                               false,
		`{"allow":{"and":[{"email":"a@x.com"},{"date":{"before":17}}]}}`:                                                     false,
		`{"allow":{"and":[{"email":"a@x.com"},{"date":{"before":null}}]}}`:                                                   false,
		`{"allow":{"and":[{"email":"a@x.com"},{"date":{"before":"soon"}}]}}`:                                                 false,
		`{"allow":{"and":[{"email":"a@x.com"},{"date":{"before":"2026-11-22T01:02:03"}}]}}`:                                  false,
		`{"allow":{"and":[{"email":"a@x.com"},{"date":{"after":"2026-11-22T01:02:03Z"}}]}}`:                                  false,
		`{"allow":{"and":[{"email":"a@x.com"},{"date":{"before":"2026-11-22T01:02:03Z","before":"2027-11-22T01:02:03Z"}}]}}`: false,
		`{"allow":{"and":[{"email":"a@x.com"},{"date":{}}]}}`:                                                                false,
		`{"allow":{"and":[{"email":"a@x.com"},{"date":{"before":["2026-11-22T01:02:03Z"]}}]}}`:                               false,
		`{"allow":{"and":[{"email":"nobody"},` + date + `]}}`:                                                                false,
		`{"allow":{"and":[{"email":17},` + date + `]}}`:                                                                      false,
		`{"allow":{"and":[{"email":"a@x.com"}]}}`:                                                                            false,
		`{"allow":{"and":[]}}`: false, `{}`: false, `[]`: false, `null`: false, `"email"`: false,
		`{"email":"a@x.com"}` + strings.Repeat(" ", maxOwn): false,
	} {
		if got := parseOwn(json.RawMessage(text)) != nil; got != ours {
			t.Errorf("%.120s: ours %v, want %v", text, got, ours)
		}
	}
}

// others are rules that the example drops, or reads wrongly (the unchanged example was seen
// to lose all of them when it writes).
var others = []string{
	`{"allow":{"or":[{"email":"a@x"},{"domain":"example.com"}]}}`,
	`{"deny":{"or":[{"email":{"is":"eve@example.com"}}]}}`,
	`{"allow":{"and":[{"email":"a@x"},{"claim/groups":"admin"}]}}`,
	`{"allow":{"and":[{"email":{"is":"ana@example.com"}},{"date":{"before":"2026-11-22T01:02:03Z"}}]}}`,
	`{ "allow" : {"and" : [ {"day_of_week":"mon-fri"}, {"time_of_day":{"timezone":"UTC","after":"9:00am"}} ]} }`,
	`{"allow":{"and":[{"record":{"type":"t","field":"f","<=":1.50e1}}]},"someday":[null,{"\u00e9":"<&>"}]}`,
}

// Threat: a write that drops what it does not understand (fault 2 of the example).
func TestRulesOfOthersSurviveByteForByte(t *testing.T) {
	for _, ppl := range []string{"[" + strings.Join(others, " ,\n") + "]", others[4], "[ 17, \"text\", null, [], " + others[1] + "]"} {
		text := `{"id":"p1","name":"n","ppl":` + ppl + `,"updatedAt":"2026-11-22T00:00:00Z"}`
		d, err := parseDocument(json.RawMessage(text))
		if err != nil {
			t.Fatal(err)
		}
		o := own{principal: ana, before: now.Add(time.Hour)}
		body := string(d.granted(o, now).body())
		for _, r := range d.rules {
			if !strings.Contains(ppl, string(r.raw)) || !strings.Contains(body, string(r.raw)) {
				t.Errorf("%s is not in %s", r.raw, body)
			}
		}
		if !strings.Contains(body, string(o.text())) {
			t.Errorf("the grant is not in %s", body)
		}
		var sent struct{ PPL json.RawMessage }
		if err := json.Unmarshal([]byte(body), &sent); err != nil {
			t.Fatal(err)
		}
		back, err := parseRules(sent.PPL)
		if err != nil || len(back) != len(d.rules)+1 {
			t.Fatalf("%d rules, and %d before: %v", len(back), len(d.rules), err)
		}
		ended := d.with(back).without([]own{o}, now)
		if got := string(textOf(ended.rules)); got != string(textOf(d.rules)) {
			t.Errorf("after the end %s, before the grant %s", got, textOf(d.rules))
		}
	}
}

// All that was read of the policy is sent back, and no more than the seven fields.
func TestTheOtherFieldsAreSentBackAsTheyWere(t *testing.T) {
	text := `{"createdAt":"2026-01-01T00:00:00Z","description":"Ops <&> \u00e9","enforced":true,"enforcedRoutes":[{"id":"r","name":"x"}],` +
		`"explanation":" why ","id":"p1","name":"n","namespaceId":"c1","ppl":{},"remediation":"ask","routes":[],"updatedAt":"x"}`
	d, err := parseDocument(json.RawMessage(text))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"description":"Ops <&> \u00e9","enforced":true,"explanation":" why ","name":"n","namespaceId":"c1","ppl":[],"remediation":"ask"}`
	if got := string(d.body()); got != want {
		t.Errorf("sends %s\nwant  %s", got, want)
	}
	d, err = parseDocument(json.RawMessage(`{"id":"p1","name":"n","ppl":null}`))
	if err != nil || string(d.body()) != `{"description":"","enforced":false,"explanation":"","name":"n","namespaceId":"","ppl":[],"remediation":""}` {
		t.Errorf("sends %s, %v", d.body(), err)
	}
}

func TestAPolicyThatIsNoneIsRefused(t *testing.T) {
	for _, text := range []string{``, `[]`, `17`, `{"name":"n","ppl":[]}`, `{"id":"","name":"n"}`, `{"id":"../policies","name":"n"}`, `{"id":17,"name":"n"}`, `{"id":"a","name":{}}`} {
		if d, err := parseDocument(json.RawMessage(text)); err == nil {
			t.Errorf("%s is read as %+v", text, d)
		}
	}
	for _, ppl := range []string{`"allow:\n  and: []"`, `17`, `true`} {
		if _, err := parseDocument(json.RawMessage(`{"id":"a","name":"n","ppl":` + ppl + `}`)); err != errForm {
			t.Errorf("%s: %v", ppl, err)
		}
	}
}

// What is over of ours goes with a write (fault 6 of the example), and what the example left
// waiting of whoever is granted something. What lives stays, also of the same person.
func TestWhatIsOverIsTidied(t *testing.T) {
	live, over := own{principal: ben, before: now.Add(time.Second)}, own{principal: ben, before: now}
	longer := own{principal: ana, before: now.Add(9 * time.Hour)}
	waiting, other := own{principal: ana}, own{principal: ben}
	d := &document{rules: []rule{{raw: json.RawMessage(others[0])}}}
	for _, o := range []own{live, over, longer, waiting, other} {
		d.rules = append(d.rules, rule{o.text(), &o})
	}
	o := own{principal: ana, before: now.Add(time.Hour)}
	next := d.granted(o, now)
	want := []string{others[0], string(live.text()), string(longer.text()), string(other.text()), string(o.text())}
	var got []string
	for _, r := range next.rules {
		got = append(got, string(r.raw))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if next.granted(o, now) != next {
		t.Error("the same grant again changes it")
	}
	if d.without([]own{o}, now) != d {
		t.Error("to end what is not there changes it")
	}
}

func FuzzParseOwn(f *testing.F) {
	for _, text := range append(others, string(own{principal: ana, before: now}.text()), string(own{principal: ana}.text())) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o := parseOwn(json.RawMessage(text))
		if o == nil {
			return
		}
		again := parseOwn(o.text())
		if again == nil || again.principal != o.principal || again.waits() != o.waits() || again.before.Unix() != o.before.Unix() {
			t.Errorf("%s is %+v, and written again %+v", text, o, again)
		}
	})
}

// thousands is the text of a policy with so many rules, half of them grants.
func thousands(n int) []byte {
	var rules []string
	for i := range n {
		if i%2 == 0 {
			rules = append(rules, fmt.Sprintf(`{"allow":{"and":[{"email":"person-%d@example.com"},{"date":{"before":"2026-11-22T%02d:%02d:00Z"}}]}}`, i, 1+i%20, i%60))
		} else {
			rules = append(rules, fmt.Sprintf(`{"allow":{"or":[{"claim/groups":"group-%d"},{"email":{"is":"other-%d@example.com"}}]}}`, i, i))
		}
	}
	return []byte(`{"id":"p1","name":"n","namespaceId":"c1","ppl":[` + strings.Join(rules, ",") + `]}`)
}

func BenchmarkTenThousandRulesRead(b *testing.B) {
	text := thousands(10_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if d, err := parseDocument(text); err != nil || len(d.rules) != 10_000 {
			b.Fatal(err)
		}
	}
}

func BenchmarkTenThousandRulesGrant(b *testing.B) {
	d, err := parseDocument(thousands(10_000))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if len(d.granted(own{principal: ana, before: now.Add(time.Hour)}, now).body()) < 1000 {
			b.Fatal("short")
		}
	}
}
