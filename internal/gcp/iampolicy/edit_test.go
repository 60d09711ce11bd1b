package iampolicy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/condition"
	"jitaccess/internal/gcp/iampolicy"
)

// at is a time of the day on which the tests play.
func at(clock string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", "2026-03-02 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

func policy(bindings ...string) string {
	return `{"version":3,"etag":"e1","bindings":[` + strings.Join(bindings, ",") + `]}`
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// binding is the raw text of a binding with a field that we do not know.
func binding(role, title, description, expression string, members ...string) string {
	var quoted []string
	for _, m := range members {
		quoted = append(quoted, quote(m))
	}
	return fmt.Sprintf(`{"role": %s, "members": [%s], "note":{"b":1,"a":2},"condition":{ "title":%s,"location":"x","description":%s,"expression":%s}}`,
		quote(role), strings.Join(quoted, ", "), quote(title), quote(description), quote(expression))
}

func expression(start, end time.Time, resource string) string {
	text, err := condition.Activation(access.Window{Start: start, End: end}, resource)
	if err != nil {
		panic(err)
	}
	return text
}

// ours is a grant of ours on the whole resource.
func ours(role, description string, start, end time.Time, members ...string) string {
	return binding(role, iampolicy.Title, description, expression(start, end, ""), members...)
}

const (
	alice = "user:alice@example.com"
	shop  = access.Resource("projects/shop")
	// self and peer are descriptions; the ids end in A and B.
	self   = "Self-approved, justification: x [jit-AAAAAAAAAAAAAAAA]"
	peer   = "Approved by bob@example.com, justification: x [mpa-BBBBBBBBBBBBBBBB]"
	self1x = "Self-approved, justification: x"
	peer1x = "Approved by bob@example.com, justification: x"
)

var runAdmin = access.EntitlementID{Resource: shop, Role: "roles/run.admin"}

// grantC is a grant to alice from 12:00 to 13:00 with an id of its own.
func grantC() access.Grant {
	return access.Grant{RequestID: "mpa-CCCCCCCCCCCCCCCC", Principal: "alice@example.com", Resource: shop,
		Entitlements: []access.EntitlementID{runAdmin}, Window: access.Window{Start: at("12:00"), End: at("13:00")},
		Justification: "because", Approvers: []access.Principal{"bob@example.com"}}
}

// raw are the bindings that the policy would write.
func raw(t testing.TB, p *iampolicy.Policy) []string {
	t.Helper()
	var body struct {
		Policy struct{ Bindings []json.RawMessage }
	}
	if err := json.Unmarshal([]byte(mustBody(t, p)), &body); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, b := range body.Policy.Bindings {
		out = append(out, string(b))
	}
	return out
}

const bindingC = `{"role":"roles/run.admin","members":["user:alice@example.com"],"condition":{"title":"JIT access activation",` +
	`"description":"Approved by bob@example.com, justification: because [mpa-CCCCCCCCCCCCCCCC]",` +
	`"expression":"(request.time >= timestamp(\"2026-03-02T12:00:00Z\") && request.time < timestamp(\"2026-03-02T13:00:00Z\"))"}}`

// TestGrant: which bindings are left beside the new one, when it is granted at noon.
func TestGrant(t *testing.T) {
	foreign := []string{
		`{"role":"roles/run.admin","members":["user:alice@example.com"]}`,
		binding("roles/run.admin", "temporary", self, expression(at("08:00"), at("09:00"), ""), alice),
		binding("roles/run.admin", iampolicy.Title, self, `request.time < timestamp("2020-01-01T00:00:00Z")`, alice),
		binding("roles/run.admin", iampolicy.Title, "", `has({}.jitAccessConstraint)`, alice),
		binding("roles/run.admin", iampolicy.Title, "", `has({}.jitAccessConstraint) && `+expression(at("08:00"), at("09:00"), ""), alice),
		binding("roles/run.admin", iampolicy.Title, self, expression(at("08:00"), at("09:00"), ""), "deleted:group:ops@example.com?uid=1"),
		binding("roles/run.admin", iampolicy.Title, self, expression(at("08:00"), at("09:00"), ""), "group:ops@example.com"),
		binding("roles/run.admin", iampolicy.Title, self, expression(at("08:00"), at("09:00"), ""), "serviceAccount:a@shop.iam.gserviceaccount.com"),
		binding("roles/run.admin", iampolicy.Title, self, expression(at("08:00"), at("09:00"), "")+" && (", alice),
	}
	tests := map[string]struct {
		before []string
		left   []string // of before
	}{
		"an empty policy":                     {nil, nil},
		"foreign ones stay, whatever is past": {foreign, foreign},
		"a live self-approved one that gives more stays": {
			[]string{ours("roles/run.admin", self, at("11:30"), at("13:01"), alice)},
			[]string{ours("roles/run.admin", self, at("11:30"), at("13:01"), alice)}},
		"a live self-approved one is replaced when nothing of it is lost": {
			[]string{ours("roles/run.admin", self, at("11:30"), at("13:00"), alice)}, nil},
		"a live one of 1.x too": {
			[]string{ours("roles/run.admin", self1x, at("11:30"), at("12:30"), alice)}, nil},
		"a live one that peers approved in 1.x stays, since its link can be opened here": {
			[]string{ours("roles/run.admin", peer1x, at("11:30"), at("12:30"), alice)},
			[]string{ours("roles/run.admin", peer1x, at("11:30"), at("12:30"), alice)}},
		"a live one that peers approved stays": {
			[]string{ours("roles/run.admin", peer, at("11:30"), at("12:30"), alice)},
			[]string{ours("roles/run.admin", peer, at("11:30"), at("12:30"), alice)}},
		"a live one in other words with an id stays": {
			[]string{ours("roles/run.admin", "by hand [mpa-BBBBBBBBBBBBBBBB]", at("11:30"), at("12:30"), alice)},
			[]string{ours("roles/run.admin", "by hand [mpa-BBBBBBBBBBBBBBBB]", at("11:30"), at("12:30"), alice)}},
		"a live one of another resource condition stays": {
			[]string{binding("roles/run.admin", iampolicy.Title, self, expression(at("11:30"), at("12:30"), `resource.name == "a"`), alice)},
			[]string{binding("roles/run.admin", iampolicy.Title, self, expression(at("11:30"), at("12:30"), `resource.name == "a"`), alice)}},
		"a live one of somebody else stays": {
			[]string{ours("roles/run.admin", self, at("11:30"), at("12:30"), "user:bob@example.com")},
			[]string{ours("roles/run.admin", self, at("11:30"), at("12:30"), "user:bob@example.com")}},
		"a live one of another role stays": {
			[]string{ours("roles/run.viewer", self, at("11:30"), at("12:30"), alice)},
			[]string{ours("roles/run.viewer", self, at("11:30"), at("12:30"), alice)}},
		"a future one that reaches beyond stays": {
			[]string{ours("roles/run.admin", self, at("12:30"), at("14:00"), alice)},
			[]string{ours("roles/run.admin", self, at("12:30"), at("14:00"), alice)}},
		"of one that 1.x merged only the person is taken out": {
			[]string{ours("roles/run.admin", self1x, at("11:30"), at("12:30"), "user:bob@example.com", "user:Alice@example.com", "group:g@example.com")},
			[]string{ours("roles/run.admin", self1x, at("11:30"), at("12:30"), "user:bob@example.com", "group:g@example.com")}},
		"not cleared: self-approved, as long as a form that was opened before its end can be sent": {
			[]string{ours("roles/run.admin", self, at("10:00"), at("10:59"), "user:bob@example.com")},
			[]string{ours("roles/run.admin", self, at("10:00"), at("10:59"), "user:bob@example.com")}},
		"cleared: self-approved, of anybody, when none can": {
			[]string{ours("roles/run.admin", self, at("10:00"), at("10:58"), "user:bob@example.com")}, nil},
		"cleared: of one's own that are over, all but the last": {
			[]string{ours("roles/run.admin", self, at("11:00"), at("11:20"), alice), ours("roles/run.admin", self, at("11:10"), at("11:30"), alice),
				ours("roles/run.admin", self, at("11:00"), at("11:10"), alice)},
			[]string{ours("roles/run.admin", self, at("11:10"), at("11:30"), alice)}},
		"cleared: of 1.x, all its people": {
			[]string{ours("roles/run.admin", self1x, at("11:00"), at("11:59"), "user:bob@example.com", "user:carol@example.com")}, nil},
		"cleared: of 1.x, and the deleted account beside it": {
			[]string{ours("roles/run.admin", self1x, at("11:00"), at("11:59"), "user:bob@example.com", "deleted:user:x@example.com?uid=7")}, nil},
		"cleared: of a deleted account, but not the deleted group beside it": {
			[]string{ours("roles/run.admin", self, at("10:00"), at("10:58"), "deleted:user:x@example.com?uid=7", "deleted:group:g@example.com?uid=7")},
			[]string{ours("roles/run.admin", self, at("10:00"), at("10:58"), "deleted:group:g@example.com?uid=7")}},
		"not cleared: of a deleted account, live": {
			[]string{ours("roles/run.admin", self, at("11:30"), at("14:00"), "deleted:user:alice@example.com?uid=7")},
			[]string{ours("roles/run.admin", self, at("11:30"), at("14:00"), "deleted:user:alice@example.com?uid=7")}},
		"not cleared: of a deleted account with the person's address, covered and live": {
			[]string{ours("roles/run.admin", self, at("11:30"), at("12:30"), "deleted:user:alice@example.com?uid=7")},
			[]string{ours("roles/run.admin", self, at("11:30"), at("12:30"), "deleted:user:alice@example.com?uid=7")}},
		"not cleared: of a deleted account, approved, six hours after its start": {
			[]string{ours("roles/run.admin", peer, at("06:00"), at("07:00"), "deleted:user:alice@example.com?uid=7")},
			[]string{ours("roles/run.admin", peer, at("06:00"), at("07:00"), "deleted:user:alice@example.com?uid=7")}},
		"not cleared: of another role": {
			[]string{ours("roles/run.viewer", self, at("08:00"), at("09:00"), alice)},
			[]string{ours("roles/run.viewer", self, at("08:00"), at("09:00"), alice)}},
		"not cleared: approved, six hours after its start": {
			[]string{ours("roles/run.admin", peer, at("06:00"), at("07:00"), alice)},
			[]string{ours("roles/run.admin", peer, at("06:00"), at("07:00"), alice)}},
		"not cleared: approved in 1.x, six hours after its start, since its link can be opened here": {
			[]string{ours("roles/run.admin", peer1x, at("06:00"), at("07:00"), "user:bob@example.com")},
			[]string{ours("roles/run.admin", peer1x, at("06:00"), at("07:00"), "user:bob@example.com")}},
		"cleared: approved in 1.x, longer ago": {
			[]string{ours("roles/run.admin", peer1x, at("05:58"), at("07:00"), "user:bob@example.com")}, nil},
		"not cleared: in other words, but with an id": {
			[]string{ours("roles/run.admin", "by hand [mpa-BBBBBBBBBBBBBBBB]", at("11:00"), at("11:59"), "user:bob@example.com")},
			[]string{ours("roles/run.admin", "by hand [mpa-BBBBBBBBBBBBBBBB]", at("11:00"), at("11:59"), "user:bob@example.com")}},
		"cleared: approved, longer ago": {
			[]string{ours("roles/run.admin", peer, at("05:58"), at("07:00"), alice)}, nil},
		"not cleared: approved, within the minute that clocks may differ": {
			[]string{ours("roles/run.admin", peer, at("05:59"), at("07:00"), alice)},
			[]string{ours("roles/run.admin", peer, at("05:59"), at("07:00"), alice)}},
		"not cleared: approved long ago and live": {
			[]string{ours("roles/run.admin", peer, at("01:00"), at("23:00"), alice)},
			[]string{ours("roles/run.admin", peer, at("01:00"), at("23:00"), alice)}},
		"not cleared: ended before it began, and that lies ahead": {
			[]string{ours("roles/run.admin", peer, at("15:00"), at("15:00"), alice)},
			[]string{ours("roles/run.admin", peer, at("15:00"), at("15:00"), alice)}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := mustParse(t, policy(tt.before...))
			next, outcome := p.Grant(grantC(), runAdmin, at("12:00"))
			if outcome.Result != access.Granted || outcome.Window != grantC().Window || outcome.Entitlement != runAdmin {
				t.Errorf("outcome %+v", outcome)
			}
			// A binding that loses a member has no space between the fields any more.
			squeeze := strings.NewReplacer(": ", ":", ", ", ",", "{ ", "{").Replace
			var got, want []string
			for _, b := range raw(t, next) {
				got = append(got, squeeze(b))
			}
			for _, b := range append(slices.Clone(tt.left), bindingC) {
				want = append(want, squeeze(b))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.before, raw(t, p)); diff != "" && len(tt.before) > 0 {
				t.Errorf("the policy that was read has changed: %s", diff)
			}
		})
	}
}

func TestGrantIsWrittenOnce(t *testing.T) {
	tests := map[string]string{
		"it stands":             ours("roles/run.admin", "Approved by carol@example.com, justification: other [mpa-CCCCCCCCCCCCCCCC]", at("11:00"), at("11:30"), "user:Alice@Example.com"),
		"it was ended":          ours("roles/run.admin", "Approved by bob@example.com, justification: x [mpa-CCCCCCCCCCCCCCCC]", at("12:00"), at("12:00"), alice),
		"it is in other words":  ours("roles/run.admin", "by hand [mpa-CCCCCCCCCCCCCCCC]", at("12:00"), at("13:00"), alice),
		"it has another window": ours("roles/run.admin", "Self-approved, justification: x [mpa-CCCCCCCCCCCCCCCC]", at("12:00"), at("19:00"), alice),
	}
	for name, stands := range tests {
		t.Run(name, func(t *testing.T) {
			// What could be cleared is left for a write that is needed.
			p := mustParse(t, policy(stands, ours("roles/run.admin", self, at("08:00"), at("09:00"), alice)))
			found, _ := p.Activations(shop)
			next, outcome := p.Grant(grantC(), runAdmin, at("12:00"))
			if next != p || outcome.Result != access.AlreadyGranted || outcome.Window != found[0].Window {
				t.Errorf("changed %v, outcome %+v", next != p, outcome)
			}
		})
	}
	for name, other := range map[string]string{
		"another person":             ours("roles/run.admin", "Approved by bob@example.com, justification: x [mpa-CCCCCCCCCCCCCCCC]", at("12:00"), at("13:00"), "user:bob@example.com"),
		"another role":               ours("roles/run.viewer", "Approved by bob@example.com, justification: x [mpa-CCCCCCCCCCCCCCCC]", at("12:00"), at("13:00"), alice),
		"another resource condition": binding("roles/run.admin", iampolicy.Title, "Approved by bob@example.com, justification: x [mpa-CCCCCCCCCCCCCCCC]", expression(at("12:00"), at("13:00"), `resource.name == "a"`), alice),
		"another title":              binding("roles/run.admin", "JIT Access activation", "Approved by bob@example.com, justification: x [mpa-CCCCCCCCCCCCCCCC]", expression(at("12:00"), at("13:00"), ""), alice),
		"the id not at the end":      ours("roles/run.admin", "Approved by bob@example.com, justification: [mpa-CCCCCCCCCCCCCCCC] x", at("12:00"), at("13:30"), alice),
	} {
		t.Run("but not by "+name, func(t *testing.T) {
			next, outcome := mustParse(t, policy(other)).Grant(grantC(), runAdmin, at("12:00"))
			if outcome.Result != access.Granted || len(next.Bindings()) != 2 {
				t.Errorf("outcome %+v, %d bindings", outcome, len(next.Bindings()))
			}
		})
	}
}

// Conditions are compared by meaning: 1.x wrote the same with other quotes.
func TestGrantComparesResourceConditionsByMeaning(t *testing.T) {
	id := access.EntitlementID{Resource: shop, Role: "roles/run.admin", Condition: `resource.name == "a"`}
	written := binding("roles/run.admin", iampolicy.Title, "Approved by bob@example.com, justification: x [mpa-CCCCCCCCCCCCCCCC]",
		expression(at("12:00"), at("13:00"), "")+` && resource.name=='a'`, alice)
	p := mustParse(t, policy(written))
	if next, outcome := p.Grant(grantC(), id, at("12:00")); next != p || outcome.Result != access.AlreadyGranted {
		t.Errorf("outcome %+v", outcome)
	}
}

func TestGrantRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*access.Grant, *access.EntitlementID)
		code   access.Code
	}{
		"a window that is over": {func(g *access.Grant, _ *access.EntitlementID) {
			g.Window.End = at("12:00")
			g.Window.Start = at("11:00")
		}, access.CodeWindowOver},
		"a window that is empty":   {func(g *access.Grant, _ *access.EntitlementID) { g.Window.Start = g.Window.End }, access.CodeInternal},
		"no window":                {func(g *access.Grant, _ *access.EntitlementID) { g.Window = access.Window{} }, access.CodeWindowOver},
		"an id that is none":       {func(g *access.Grant, _ *access.EntitlementID) { g.RequestID = "mpa-x] [mpa-y" }, access.CodeInternal},
		"nobody":                   {func(g *access.Grant, _ *access.EntitlementID) { g.Principal = "" }, access.CodeInternal},
		"an address not canonical": {func(g *access.Grant, _ *access.EntitlementID) { g.Principal = "Alice@example.com" }, access.CodeInternal},
		"a group":                  {func(g *access.Grant, _ *access.EntitlementID) { g.Principal = "group:a@example.com" }, access.CodeInternal},
		"an approver who is two":   {func(g *access.Grant, _ *access.EntitlementID) { g.Approvers[0] = "b@example.com, c@example.com" }, access.CodeInternal},
		"an approver who is none":  {func(g *access.Grant, _ *access.EntitlementID) { g.Approvers[0] = "b, justification: x" }, access.CodeInternal},
		"approvers who do not fit": {func(g *access.Grant, _ *access.EntitlementID) { g.Approvers = slices.Repeat(g.Approvers, 20) }, access.CodeApproversTooLong},
		"a basic role":             {func(_ *access.Grant, id *access.EntitlementID) { id.Role = "roles/editor" }, access.CodeBasicRoleRefused},
		"a condition with more operators than IAM takes": {func(_ *access.Grant, id *access.EntitlementID) {
			id.Condition = strings.Repeat(`resource.name == "a" || `, 12) + `resource.name == "b"`
		}, access.CodeConditionTooLong},
		"a condition that is none": {func(_ *access.Grant, id *access.EntitlementID) { id.Condition = `true) || (true` }, access.CodeInternal},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := mustParse(t, policy())
			g, id := grantC(), runAdmin
			tt.change(&g, &id)
			next, outcome := p.Grant(g, id, at("12:00"))
			if next != p || outcome.Result != access.Refused || outcome.Err == nil || outcome.Err.Code != tt.code || !outcome.Window.IsZero() {
				t.Errorf("changed %v, outcome %+v", next != p, outcome)
			}
		})
	}
}

// No resource condition can widen the window.
func TestThreat19_AConditionCannotEscapeTheWindow(t *testing.T) {
	for _, text := range []string{`true) || (true`, `true || true`, `true // `, "true //\n", `true)) || ((true`, `"\") || true || (\"" == ""`,
		`request.time < timestamp("2099-01-01T00:00:00Z") || true`, `resource.name == "a" ? true : true`, `has({}.jitAccessConstraint)`} {
		id := access.EntitlementID{Resource: shop, Role: "roles/run.admin", Condition: text}
		next, outcome := mustParse(t, policy()).Grant(grantC(), id, at("12:00"))
		if outcome.Result == access.Refused {
			continue
		}
		found, _ := next.Activations(shop)
		if len(found) != 1 || found[0].Window != grantC().Window || !condition.Equal(found[0].Entitlement.Condition, text) {
			t.Errorf("%q was written as %+v", text, found)
		}
	}
}

func TestLimits(t *testing.T) {
	same := slices.Repeat([]string{`{"role":"roles/run.admin","members":["user:alice@example.com","user:bob@example.com"],"condition":{"expression":"true"}}`}, 20)
	full := func(n int) string {
		return `{"role":"roles/viewer","members":[` + strings.TrimSuffix(strings.Repeat(`"group:a@example.com",`, n), ",") + `]}`
	}
	over := ours("roles/run.admin", self, at("08:00"), at("09:00"), alice)
	tests := map[string]struct {
		bindings []string
		want     *access.Error // nil: granted
	}{
		"19 of the role and person": {same[:19], nil},
		"20 of the role and person": {same, &access.Error{Code: access.CodeTooManyGrants,
			Args: access.Args{"count": "20", "max": "20", "role": "roles/run.admin"}}},
		"20, but one is over and cleared": {append([]string{over}, same[:19]...), nil},
		"1,499 members":                   {[]string{full(1499)}, nil},
		"1,500 members, each appearance counts": {[]string{full(1500)}, &access.Error{Code: access.CodePolicyFull,
			Args: access.Args{"count": "1500", "max": "1500", "resource": "projects/shop"}}},
		"1,500 members, but one is cleared": {[]string{full(1499), over}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			next, outcome := mustParse(t, policy(tt.bindings...)).Grant(grantC(), runAdmin, at("12:00"))
			switch {
			case tt.want == nil && outcome.Result != access.Granted:
				t.Errorf("refused: %v", outcome.Err)
			case tt.want != nil && (outcome.Err == nil || outcome.Err.Code != tt.want.Code || !cmp.Equal(outcome.Err.Args, tt.want.Args)):
				t.Errorf("got %v, want %v", outcome.Err, tt.want)
			case len(next.Bindings()) > 25:
				t.Error("more bindings than expected")
			}
		})
	}
	if w := mustParse(t, policy(full(1199))).NearlyFull(shop); w != nil {
		t.Errorf("warned at 1,199: %v", w)
	}
	if w := mustParse(t, policy(full(1200))).NearlyFull(shop); w == nil || w.Code != access.CodePolicyNearlyFull || w.Args["count"] != "1200" {
		t.Errorf("at 1,200: %v", w)
	}
}

// TestEnd: what is left of one binding that is ended at noon.
func TestEnd(t *testing.T) {
	tests := map[string]struct {
		before string
		id     string // empty: the derived one
		left   []string
		window access.Window
		same   bool // nothing to write
	}{
		"self-approved: cut short, since its form can be sent again": {ours("roles/run.admin", self, at("11:00"), at("13:00"), alice), "jit-AAAAAAAAAAAAAAAA",
			[]string{ours("roles/run.admin", self, at("11:00"), at("12:00"), alice)}, access.Window{Start: at("11:00"), End: at("12:00")}, false},
		"approved: cut short, everything else as it was": {ours("roles/run.admin", peer, at("11:00"), at("13:00"), alice), "mpa-BBBBBBBBBBBBBBBB",
			[]string{ours("roles/run.admin", peer, at("11:00"), at("12:00"), alice)}, access.Window{Start: at("11:00"), End: at("12:00")}, false},
		"approved with a resource condition": {
			binding("roles/run.admin", iampolicy.Title, peer, expression(at("11:00"), at("13:00"), `resource.name == "a"`), alice), "mpa-BBBBBBBBBBBBBBBB",
			[]string{binding("roles/run.admin", iampolicy.Title, peer, expression(at("11:00"), at("12:00"), `resource.name == "a"`), alice)},
			access.Window{Start: at("11:00"), End: at("12:00")}, false},
		"approved, not begun: ends as it starts": {ours("roles/run.admin", peer, at("14:00"), at("15:00"), alice), "mpa-BBBBBBBBBBBBBBBB",
			[]string{ours("roles/run.admin", peer, at("14:00"), at("14:00"), alice)}, access.Window{Start: at("14:00"), End: at("14:00")}, false},
		"already over: nothing": {ours("roles/run.admin", peer, at("10:00"), at("11:00"), alice), "mpa-BBBBBBBBBBBBBBBB",
			[]string{ours("roles/run.admin", peer, at("10:00"), at("11:00"), alice)}, access.Window{Start: at("10:00"), End: at("11:00")}, true},
		"already cut short: nothing": {ours("roles/run.admin", peer, at("14:00"), at("14:00"), alice), "mpa-BBBBBBBBBBBBBBBB",
			[]string{ours("roles/run.admin", peer, at("14:00"), at("14:00"), alice)}, access.Window{Start: at("14:00"), End: at("14:00")}, true},
		"self-approved and over: nothing": {ours("roles/run.admin", self, at("10:00"), at("11:00"), alice), "jit-AAAAAAAAAAAAAAAA",
			[]string{ours("roles/run.admin", self, at("10:00"), at("11:00"), alice)}, access.Window{Start: at("10:00"), End: at("11:00")}, true},
		"in other words, with an id: cut short": {ours("roles/run.admin", "by hand [mpa-BBBBBBBBBBBBBBBB]", at("11:00"), at("13:00"), alice), "mpa-BBBBBBBBBBBBBBBB",
			[]string{ours("roles/run.admin", "by hand [mpa-BBBBBBBBBBBBBBBB]", at("11:00"), at("12:00"), alice)}, access.Window{Start: at("11:00"), End: at("12:00")}, false},
		"approved in 1.x: cut short": {ours("roles/run.admin", peer1x, at("11:00"), at("13:00"), alice), "",
			[]string{ours("roles/run.admin", peer1x, at("11:00"), at("12:00"), alice)}, access.Window{Start: at("11:00"), End: at("12:00")}, false},
		"1.x: removed": {ours("roles/run.admin", self1x, at("11:00"), at("13:00"), alice), "",
			nil, access.Window{Start: at("11:00"), End: at("12:00")}, false},
		"approved in 1.x, merged: only that person, cut short": {ours("roles/run.admin", peer1x, at("11:00"), at("13:00"), "user:bob@example.com", alice, "group:g@example.com"), "",
			[]string{ours("roles/run.admin", peer1x, at("11:00"), at("13:00"), "user:bob@example.com", "group:g@example.com"),
				ours("roles/run.admin", peer1x, at("11:00"), at("12:00"), alice)},
			access.Window{Start: at("11:00"), End: at("12:00")}, false},
		"approved, merged: the others keep theirs": {ours("roles/run.admin", peer, at("11:00"), at("13:00"), "user:bob@example.com", alice), "mpa-BBBBBBBBBBBBBBBB",
			[]string{ours("roles/run.admin", peer, at("11:00"), at("13:00"), "user:bob@example.com"),
				ours("roles/run.admin", peer, at("11:00"), at("12:00"), alice)},
			access.Window{Start: at("11:00"), End: at("12:00")}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			foreign := `{"role":"roles/run.admin","members":["user:alice@example.com"]}`
			p := mustParse(t, policy(foreign, tt.before))
			id := tt.id
			if id == "" {
				found, _ := p.Activations(shop)
				for _, a := range found {
					if a.Principal == "alice@example.com" {
						id = a.RequestID
					}
				}
			}
			e := access.Ending{RequestID: id, Principal: "alice@example.com", Resource: shop, At: at("12:00").Add(300 * time.Millisecond)}
			ids := p.Found(e)
			if len(ids) != 1 {
				t.Fatalf("found %v", ids)
			}
			next, outcome := p.End(e, ids[0], e.At)
			if outcome.Result != access.Removed || outcome.Window != tt.window || (next == p) != tt.same {
				t.Errorf("outcome %+v, same %v", outcome, next == p)
			}
			squeeze := strings.NewReplacer(": ", ":", ", ", ",", "{ ", "{", `\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace
			var got, want []string
			for _, b := range raw(t, next) {
				got = append(got, squeeze(b))
			}
			for _, b := range append([]string{foreign}, tt.left...) {
				want = append(want, squeeze(b))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if again, _ := next.End(e, ids[0], e.At); again != next {
				t.Error("ending it again changed something")
			}
		})
	}
}

func TestEndFindsOnlyWhatIsMeant(t *testing.T) {
	p := mustParse(t, policy(ours("roles/run.admin", peer, at("11:00"), at("13:00"), alice)))
	for name, e := range map[string]access.Ending{
		"another id":      {RequestID: "mpa-CCCCCCCCCCCCCCCC", Principal: "alice@example.com", Resource: shop, At: at("12:00")},
		"another person":  {RequestID: "mpa-BBBBBBBBBBBBBBBB", Principal: "bob@example.com", Resource: shop, At: at("12:00")},
		"nothing at all":  {Resource: shop, At: at("12:00")},
		"an id of no one": {RequestID: "", Principal: "alice@example.com", Resource: shop, At: at("12:00")},
	} {
		t.Run(name, func(t *testing.T) {
			if found := p.Found(e); found != nil {
				t.Errorf("found %v", found)
			}
			if next, _ := p.End(e, runAdmin, at("12:00")); next != p {
				t.Error("changed the policy")
			}
		})
	}
}

// A link of ours that JIT Access 1.8.1 approved stays decided, whatever is done with
// the grant, and whatever its justification looks like.
func TestThreat05_ALinkThat1xApprovedStaysDecided(t *testing.T) {
	for _, reason := range []string{"x", "x [mpa-DDDDDDDDDDDDDDDD]", "[mpa-DDDDDDDDDDDDDDDD]"} {
		r := access.Request{ID: "mpa-AAAAAAAAAAAAAAAA", Kind: access.Peers, Principal: "alice@example.com", Resource: shop, State: access.Pending,
			Entitlements: []access.EntitlementID{runAdmin}, Justification: reason, Duration: time.Hour, Created: at("11:30"), Expires: at("13:30")}
		p := mustParse(t, policy(ours("roles/run.admin", "Approved by bob@example.com, justification: "+reason, at("11:30"), at("12:30"), alice)))
		check := func(p *iampolicy.Policy, now string, want access.State) (id string) {
			t.Helper()
			found, _ := p.Activations(shop)
			held := access.Standing{Activations: found}.OfRequest(r)
			if got := r.StateWith(held, at(now)); got != want || len(held) != 1 {
				t.Fatalf("%q at %s: %q, want %q", reason, now, got, want)
			}
			return held[0].RequestID
		}
		id := check(p, "11:40", access.Active)
		ended, _ := p.End(access.Ending{RequestID: id, Principal: r.Principal, Resource: shop, At: at("12:10")}, runAdmin, at("12:10"))
		check(ended, "12:10", access.Ended)
		replaced, _ := p.Grant(grantC(), runAdmin, at("12:00"))
		check(replaced, "12:10", access.Active)
		ended, _ = ended.Grant(grantC(), runAdmin, at("12:20"))
		check(ended, "12:20", access.Ended)
	}
}

// The end of a grant that was ended is remembered: the link that approved it finds
// it, whatever else is written meanwhile.
func TestThreat05_AReplayFindsWhatWasEndedEarly(t *testing.T) {
	p, _ := mustParse(t, policy()).Grant(grantC(), runAdmin, at("12:00"))
	e := access.Ending{RequestID: grantC().RequestID, Principal: "alice@example.com", Resource: shop, At: at("12:10")}
	p, _ = p.End(e, runAdmin, at("12:10"))
	other := grantC()
	other.RequestID, other.Principal, other.Window = "jit-DDDDDDDDDDDDDDDD", "dave@example.com", access.Window{Start: at("17:59"), End: at("18:59")}
	p, _ = p.Grant(other, runAdmin, at("17:59"))
	next, outcome := p.Grant(grantC(), runAdmin, at("12:11"))
	if next != p || outcome.Result != access.AlreadyGranted || outcome.Window.End != at("12:10") {
		t.Errorf("outcome %+v", outcome)
	}
}

func TestActivationsOfAMergedBindingHaveIDsOfTheirOwn(t *testing.T) {
	p := mustParse(t, policy(ours("roles/run.admin", self1x, at("11:00"), at("13:00"), alice, "user:bob@example.com", "group:x@example.com"),
		ours("roles/run.admin", self1x, at("11:00"), at("14:00"), alice), ours("roles/run.viewer", self1x, at("11:00"), at("13:00"), alice)))
	found, _ := p.Activations(shop)
	ids := map[string]bool{}
	for _, a := range found {
		if !a.Derived || a.Approvers != nil {
			t.Errorf("%+v", a)
		}
		ids[a.RequestID] = true
	}
	if len(found) != 4 || len(ids) != 4 {
		t.Errorf("%d activations with %d ids", len(found), len(ids))
	}
}

func TestActivationsWarnOfWhatTheyCannotRead(t *testing.T) {
	broken := binding("roles/run.admin", iampolicy.Title, self,
		`(request.time >= timestamp("yesterday") && request.time < timestamp("tomorrow"))`, alice)
	found, warnings := mustParse(t, policy(broken, ours("roles/run.admin", self, at("11:00"), at("13:00"), alice))).Activations(shop)
	if len(found) != 1 || len(warnings) != 1 || warnings[0].Code != access.CodeUnreadableBinding || warnings[0].Args["role"] != "roles/run.admin" {
		t.Errorf("%v, %v", found, warnings)
	}
}

func TestPreviewIsWhatIsWritten(t *testing.T) {
	text, err := iampolicy.Preview(grantC(), runAdmin)
	if err != nil {
		t.Fatal(err)
	}
	var preview, written any
	if err := json.Unmarshal([]byte(text), &preview); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(bindingC), &written); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(written, preview); diff != "" || !strings.Contains(text, "&& request.time <") {
		t.Errorf("%s\n%s", diff, text)
	}
}

func TestDeleted(t *testing.T) {
	p := mustParse(t, policy(`{"role":"roles/viewer","members":["deleted:user:Alice@example.com?uid=12"]}`))
	if !p.Deleted("alice@example.com") || p.Deleted("bob@example.com") {
		t.Error("the deleted account is not recognised")
	}
}
