package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/sandbox/google"
)

// The sandbox is what it is assumed to be.
func TestTheSandboxConforms(t *testing.T) {
	for name, arrange := range map[string]func(*world){
		"as it is":                 func(*world) {},
		"bindings rearranged":      func(w *world) { w.cloud.Faults().ReorderBindings(true) },
		"whole policies replaced":  func(w *world) { w.cloud.Faults().ReplaceWholePolicy(true) },
		"somebody is faster twice": func(w *world) { w.cloud.Faults().Conflict("projects/"+scratch, 2) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			arrange(w)
			var said []string
			w.Said = func(c Checked) { said = append(said, c.ID) }
			before := w.policyAsSet()
			report, err := Run(t.Context(), w.Config)
			if err != nil || len(report.Left) > 0 {
				t.Fatal(err, report.Left)
			}
			if after := w.policyAsSet(); !slices.Equal(before, after) {
				t.Errorf("the policy was\n%v\nand is\n%v", before, after)
			}
			for _, c := range report.Checks {
				if c.Result != Passes && !(ofFirestore(c.ID) && c.Result == Untried) {
					t.Errorf("%s %s: %s", c.ID, c.Result, c.Observed)
				}
			}
			if len(report.Checks) != len(checks) || len(said) != len(checks) {
				t.Errorf("%d checks, %d were said, %d are reported", len(checks), len(said), len(report.Checks))
			}
			if report.Ended.Sub(report.Began) < 10*time.Minute {
				t.Errorf("no window of a grant can have ended in %s", report.Ended.Sub(report.Began))
			}
		})
	}
}

// policyAsSet are the bindings of the scratch project, whatever their order.
func (w *world) policyAsSet() (all []string) {
	var p policy
	if err := json.Unmarshal([]byte(w.policy()), &p); err != nil {
		w.t.Fatal(err)
	}
	for _, b := range p.Bindings {
		all = append(all, b.key())
	}
	slices.Sort(all)
	return all
}

// plant is a difference between Google and what is assumed of it.
type plant struct {
	wrap   func(http.Handler) http.Handler
	config func(*world)
}

// accepting takes what is to be refused, without doing it.
func accepting(check string) plant {
	return plant{wrap: func(google http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c, method := made(r); c == check && method == "setIamPolicy" {
				fmt.Fprint(w, `{"etag":"BwY=","bindings":[]}`)
				return
			}
			google.ServeHTTP(w, r)
		})
	}}
}

// refusing does not take what is to be accepted.
func refusing(check string) plant {
	return plant{wrap: instead(check, "setIamPolicy", says(400, "INVALID_ARGUMENT", "Not in this form."))}
}

// holding has the caller hold, or lack, a permission while a check looks.
func holding(check, with, without string) plant {
	return plant{wrap: instead(check, "testIamPermissions", permissions(with, without))}
}

// claiming is an assertion with other claims.
func claiming(edit func(map[string]any)) plant {
	return plant{config: func(w *world) {
		var err error
		w.Assertion, err = w.cloud.SignIAPAssertion("alice@example.com", "accounts.google.com:1", "/projects/"+number+"/apps/"+scratch, edit)
		if err != nil {
			w.t.Fatal(err)
		}
	}}
}

// plants are one for each check.
var plants = map[string]plant{
	"clock":          {config: func(w *world) { w.Skew = func() (time.Duration, bool) { return time.Minute, true } }},
	"project.absent": {wrap: instead("project.absent", "getIamPolicy", says(404, "NOT_FOUND", "No such project."))},
	"etag.changes": {wrap: instead("etag.changes", "setIamPolicy", edited(func(all map[string]any) {
		all["etag"] = "BwYAAAAAAAA="
	}))},
	"etag.stale":          {wrap: instead("etag.stale", "setIamPolicy", says(412, "FAILED_PRECONDITION", "The etag is another."))},
	"etag.base64":         accepting("etag.base64"),
	"version.hidden":      {wrap: instead("version.hidden", "getIamPolicy", edited(func(all map[string]any) { all["version"] = 3 }))},
	"version.needed":      accepting("version.needed"),
	"version.unknown":     accepting("version.unknown"),
	"permission.wildcard": {wrap: instead("permission.wildcard", "testIamPermissions", edited(func(all map[string]any) { delete(all, "error") }))},

	"condition.marker":           refusing("condition.marker"),
	"condition.resource":         refusing("condition.resource"),
	"condition.operators.most":   refusing("condition.operators.most"),
	"condition.description.most": refusing("condition.description.most"),
	"condition.same.most":        refusing("condition.same.most"),
	"limit.members.most":         refusing("limit.members.most"),
	"condition.activation": {wrap: instead("condition.activation", "getIamPolicy", edited(func(all map[string]any) {
		for _, b := range all["bindings"].([]any) {
			if c, ok := b.(map[string]any)["condition"].(map[string]any); ok {
				c["expression"] = strings.ReplaceAll(c["expression"].(string), " && ", " &&\n")
			}
		}
	}))},

	"grant.begins":    holding("grant.begins", "", timed.permission),
	"grant.eligible":  holding("grant.eligible", eligible.permission, ""),
	"grant.over":      holding("grant.over", over.permission, ""),
	"grant.here":      holding("grant.here", "", here.permission),
	"grant.elsewhere": holding("grant.elsewhere", elsewhere.permission, ""),
	"grant.ends":      holding("grant.ends", timed.permission, ""),
	"grant.removed":   holding("grant.removed", removed.permission, ""),

	"iap.signature": {config: func(w *world) { w.Assertion = w.Assertion[:len(w.Assertion)-8] + "AAAAAAAA" }},
	"iap.issuer":    claiming(func(c map[string]any) { c["iss"] = "https://accounts.google.com" }),
	"iap.audience":  claiming(func(c map[string]any) { c["aud"] = "jitaccess" }),
	"iap.life":      claiming(func(c map[string]any) { c["exp"] = c["iat"].(int64) + 3600 }),
	"iap.person":    claiming(func(c map[string]any) { c["sub"] = "12345" }),

	"group.members": {wrap: instead("group.members", "members", edited(func(all map[string]any) {
		delete(all["members"].([]any)[0].(map[string]any), "status")
	}))},
	"group.of-member": {wrap: instead("group.of-member", "groups", edited(func(all map[string]any) { delete(all, "groups"); delete(all, "nextPageToken") }))},
	"group.unknown":   {wrap: instead("group.unknown", "members", says(400, "", "Invalid Input: groupKey"))},
}

func init() {
	for _, id := range []string{"condition.capitals", "condition.broken", "condition.type", "condition.attribute", "condition.empty",
		"condition.operators.more", "condition.description.more", "condition.title.more", "condition.basic", "condition.same.more",
		"member.form", "member.unknown", "member.deleted", "member.everybody", "role.unknown", "role.organization", "limit.members.more",
		"limit.repeated"} {
		plants[id] = accepting(id)
	}
	plants["project.search"] = plant{wrap: func(google http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if check, _ := made(r); check == "project.search" {
				fmt.Fprint(w, `{}`)
				return
			}
			google.ServeHTTP(w, r)
		})
	}}
	plants["version.lost"] = accepting("version.lost") // it says that it was written, and keeps the conditions
}

// A Google that is otherwise in one point fails the check of that point, and no other.
func TestAPlantedDifferenceFailsItsCheck(t *testing.T) {
	for _, k := range checks {
		if ofFirestore(k.id) { // see firestorePlants
			continue
		}
		t.Run(k.id, func(t *testing.T) {
			t.Parallel()
			p, planted := plants[k.id]
			if !planted {
				t.Fatal("no difference is planted for it")
			}
			w := newWorld(t)
			if p.config != nil {
				p.config(w)
			}
			w.wrap = p.wrap
			report := w.run(t.Context())
			differing := results(report, Differs)
			// Without a signature nothing else of an assertion is believed.
			if k.id == "iap.signature" {
				differing = slices.DeleteFunc(differing, func(id string) bool { return strings.HasPrefix(id, "iap.") && id != k.id })
			}
			if !slices.Equal(differing, []string{k.id}) {
				t.Errorf("differing are %v", differing)
				for _, c := range report.Checks {
					if c.Result != Passes || c.ID == k.id {
						t.Logf("%s %s: %s", c.ID, c.Result, c.Observed)
					}
				}
			}
		})
	}
	for id := range plants {
		if !slices.ContainsFunc(checks, func(k check) bool { return k.id == id }) {
			t.Errorf("a difference is planted for %s, which is no check", id)
		}
	}
}

// A project that is not scratch is refused, with what there is to do, and nothing is written.
func TestAProjectThatIsNotScratchIsRefused(t *testing.T) {
	bound := func(b ...google.Binding) func(*google.Project) {
		return func(p *google.Project) { p.Policy = ownPolicy(b...) }
	}
	labelled := func(name, value string) func(*google.Project) {
		return func(p *google.Project) { p.Labels = map[string]string{name: value} }
	}
	for name, c := range map[string]struct {
		edit func(*google.Project)
		why  string
	}{
		"a person has a role":        {bound(google.Binding{Role: "roles/viewer", Members: []string{"user:alice@example.com"}}), "roles/viewer of user:alice@example.com"},
		"a group has one":            {bound(google.Binding{Role: "roles/viewer", Members: []string{"group:sre@example.com"}}), "group:sre@example.com"},
		"another service account":    {bound(google.Binding{Role: "roles/editor", Members: []string{"serviceAccount:deployer@shop-build.iam.gserviceaccount.com"}}), "deployer@"},
		"a service agent of another": {bound(google.Binding{Role: "roles/editor", Members: []string{"serviceAccount:99@cloudservices.gserviceaccount.com"}}), "99@"},
		"an address like an agent's": {bound(google.Binding{Role: "roles/editor", Members: []string{"serviceAccount:service-" + number + "@evil.example"}}), "evil.example"},
		"the domain":                 {bound(google.Binding{Role: "roles/browser", Members: []string{"domain:example.com"}}), "domain:example.com"},
		"somebody eligible":          {bound(google.Binding{Role: "roles/viewer", Members: []string{"user:bob@example.com"}, Condition: &google.Condition{Title: "x", Expression: "has({}.jitAccessConstraint)"}}), "bob"},
		"a person under our title":   {bound(google.Binding{Role: "roles/viewer", Members: []string{"user:bob@example.com"}, Condition: &google.Condition{Title: mark, Expression: "true"}}), "user:bob@example.com"},
		"two owners":                 {bound(google.Binding{Role: "roles/owner", Members: []string{"user:bob@example.com"}}), "roles/owner of user:erin@example.com"},
		"a group as the owner": {func(p *google.Project) {
			p.Policy = google.Policy{Bindings: []google.Binding{{Role: "roles/owner", Members: []string{"group:sre@example.com"}}}}
		}, "group:sre@example.com"},
		"an owner with a condition": {func(p *google.Project) {
			p.Policy = google.Policy{Bindings: []google.Binding{{Role: "roles/owner", Members: []string{"user:bob@example.com"}, Condition: &google.Condition{Title: "x", Expression: "false"}}}}
		}, "bob"},
		"many":                    {bound(google.Binding{Role: "roles/viewer", Members: []string{"user:a@x.example", "user:b@x.example", "user:c@x.example", "user:d@x.example", "user:e@x.example", "user:f@x.example", "user:g@x.example"}}), "and 2 more"},
		"production by its label": {labelled("env", "prod"), "env=prod"},
		"production in capitals":  {labelled("stage", "Production"), "stage=Production"},
		"production of a region":  {labelled("env", "prod-eu_1"), "env=prod-eu_1"},
		"production as the name":  {labelled("live", "true"), "live=true"},
		"being deleted":           {func(p *google.Project) { p.Deleted = true }, "DELETE_REQUESTED"},
		"under another id":        {func(p *google.Project) { p.ID = "somebody-elses" }, "not there"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.edit)
			_, err := Run(t.Context(), w.Config)
			refused, ok := errors.AsType[Refused](err)
			if !ok || !strings.Contains(refused.Why, c.why) || refused.Next == "" {
				t.Errorf("%v", err)
			}
			w.wroteNothing()
		})
	}
	for _, permission := range []string{"resourcemanager.projects.get", "resourcemanager.projects.getIamPolicy", "resourcemanager.projects.setIamPolicy"} {
		t.Run("without "+permission, func(t *testing.T) {
			w := newWorld(t)
			w.cloud.Faults().RevokePermission(permission)
			_, err := Run(t.Context(), w.Config)
			if refused, ok := errors.AsType[Refused](err); !ok || !strings.Contains(refused.Next, "roles/resourcemanager.projectIamAdmin") {
				t.Errorf("%v", err)
			}
			w.wroteNothing()
		})
	}
}

func (w *world) wroteNothing() {
	w.t.Helper()
	for route, n := range w.cloud.Calls().All() {
		if strings.Contains(route, "setIamPolicy") && n > 0 {
			w.t.Errorf("%d writes", n)
		}
	}
}

// What may stand in the policy stays, and is told without a name.
func TestWhatStoodStays(t *testing.T) {
	w := newWorld(t, func(p *google.Project) {
		p.Policy = ownPolicy(google.Binding{Role: "roles/cloudsql.client", Members: []string{"serviceAccount:jitaccess@example-jitaccess.iam.gserviceaccount.com"},
			Condition: &google.Condition{Title: "own", Expression: "resource.name == \"x\""}})
		p.Policy.AuditConfigs = []google.AuditConfig{{Service: "allServices", AuditLogConfigs: []google.AuditLogConfig{{LogType: "DATA_READ", ExemptedMembers: []string{"user:erin@example.com"}}}}}
		p.Labels = map[string]string{"env": "test", "stage": "non-prod", "production": "false"}
	})
	report := w.run(t.Context())
	if got := slices.DeleteFunc(results(report, Untried), ofFirestore); !slices.Equal(got, []string{"version.lost"}) {
		t.Errorf("untried are %v", got)
	}
	if got := results(report, Differs); got != nil {
		t.Errorf("differing are %v", got)
	}
	want := []string{"bindings of Google's own accounts: 2", "the caller's own bindings: 1", "the owner who made the project: 1"}
	if !slices.Equal(report.LetPass, want) {
		t.Errorf("let pass %q", report.LetPass)
	}
}

// A run that is interrupted after any of its calls leaves nothing behind.
func TestAnInterruptedRunLeavesNothing(t *testing.T) {
	for _, after := range []int{5, 6, 7, 8, 13, 20, 33, 60, 80, 90, 110} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			w := newWorld(t)
			ctx, cancel := context.WithCancel(t.Context())
			calls := 0
			w.wrap = func(google http.Handler) http.Handler {
				return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					google.ServeHTTP(rw, r)
					if calls++; calls == after {
						cancel()
					}
				})
			}
			report := w.run(ctx)
			w.serving.Lock()
			defer w.serving.Unlock()
			if calls < after {
				t.Fatalf("only %d calls", calls)
			}
			if len(results(report, Untried)) == 0 || len(report.Checks) != len(checks) {
				t.Error("nothing was left untried")
			}
			if got := results(report, Differs); got != nil {
				t.Errorf("differing are %v, and nothing was learned of them", got)
			}
		})
	}
}

// What a run left that was killed is taken out by the next, whoever ran it.
func TestACrashedRunIsCleanedByTheNext(t *testing.T) {
	w := newWorld(t)
	clean := w.policy()
	writes := 0
	w.wrap = func(google http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if _, method := made(r); method == "setIamPolicy" {
				writes++
			}
			if writes > 4 {
				panic(http.ErrAbortHandler)
			}
			google.ServeHTTP(rw, r)
		})
	}
	report, err := Run(t.Context(), w.Config)
	if err != nil || len(report.Left) == 0 || !strings.Contains(report.Left[0], mark) {
		t.Errorf("%v, left %v", err, report.Left)
	}
	if got := results(report, Differs); got != nil {
		t.Errorf("differing are %v, when Google did not answer", got)
	}
	if w.policy() == clean {
		t.Fatal("there is nothing to clean")
	}
	w.serving.Lock() // what was not answered may still be under way
	w.wrap = nil
	w.serving.Unlock()
	report, err = Run(t.Context(), w.Config)
	if err != nil || len(report.Left) > 0 || w.policy() != clean || report.Count(Passes) != len(checks)-len(firestoreChecks) {
		t.Errorf("%v, left %v, %d pass, the policy is\n%s", err, report.Left, report.Count(Passes), w.policy())
	}
}

// Google that fails, is busy or is kept back by the organization says nothing of what is assumed.
func TestWhatSaysNothingIsUntried(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter, []byte){
		"busy":                   says(429, "RESOURCE_EXHAUSTED", "Quota exceeded"),
		"failing":                says(503, "UNAVAILABLE", "The service is currently unavailable."),
		"not allowed":            says(403, "PERMISSION_DENIED", "denied"),
		"an organization policy": says(412, "FAILED_PRECONDITION", "One or more users named in the policy do not belong to a permitted customer."),
		"a custom constraint":    says(400, "INVALID_ARGUMENT", "Operation denied by custom org policies: constraints/iam.allowedPolicyMemberDomains"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.wrap = func(google http.Handler) http.Handler {
				faulty := instead("", "setIamPolicy", func(rw http.ResponseWriter, _ []byte) { answer(rw, nil) })(google)
				return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					if check, method := made(r); method == "setIamPolicy" && check != "end" {
						answer(rw, nil)
						return
					}
					if _, method := made(r); method != "setIamPolicy" {
						faulty.ServeHTTP(rw, r)
						return
					}
					google.ServeHTTP(rw, r)
				})
			}
			report := w.run(t.Context())
			if got := results(report, Differs); got != nil {
				t.Errorf("differing are %v", got)
			}
			if n := report.Count(Untried); n < 30 {
				t.Errorf("%d could not be tried", n)
			}
		})
	}
}

// Without an assertion and a group what needs them is said not to have been tried; a caller who
// has a role there already learns nothing of grants.
func TestWhatIsMissingIsUntried(t *testing.T) {
	w := newWorld(t, func(p *google.Project) {
		p.Policy = ownPolicy(google.Binding{Role: "roles/viewer", Members: []string{"serviceAccount:jitaccess@example-jitaccess.iam.gserviceaccount.com"}})
	})
	w.Assertion, w.Group = "", ""
	report := w.run(t.Context())
	for _, c := range report.Checks {
		needs := strings.HasPrefix(c.ID, "iap.") || strings.HasPrefix(c.ID, "group.") || strings.HasPrefix(c.ID, "grant.") || ofFirestore(c.ID)
		if (c.Result == Untried) != needs || c.Result == Differs {
			t.Errorf("%s %s: %s", c.ID, c.Result, c.Observed)
		}
	}
}

// The report can be sent away: it names nobody, and no project.
func TestTheReportNamesNobody(t *testing.T) {
	w := newWorld(t)
	w.wrap = instead("member.unknown", "setIamPolicy", says(400, "INVALID_ARGUMENT",
		"User alice@example.com and group:sre@example.com of "+scratch+" (projects/"+number+") in organizations/4711 of C01234567, bob@partner.example.net,\n\x1b]0;title\a"+w.Account+" do not exist."))
	report := w.run(t.Context())
	var text strings.Builder
	if err := report.Text(&text); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	for form, said := range map[string]string{"text": text.String(), "JSON": string(encoded)} {
		for _, name := range []string{"@", "alice", "erin", "example.com", "partner", "4711", "C01234567", scratch, number, "jitaccess@", "Bearer", "ya29"} {
			if strings.Contains(said, name) {
				t.Errorf("the %s has %q:\n%s", form, name, said)
			}
		}
	}
	if !strings.Contains(text.String(), "Nothing was left behind.") || !strings.Contains(text.String(), "User SOMEBODY and group:GROUP of PROJECT (projects/NUMBER) in ABOVE of ABOVE, SOMEBODY, [U+001B]]0;title[U+0007]CALLER do not exist.") {
		t.Errorf("the text is\n%s", text.String())
	}
	for _, c := range report.Checks {
		if c.Assumption == "" || c.Source == "" || c.Observed == "" {
			t.Errorf("%+v does not say what it is about", c)
		}
	}
}

// Who interrupts before anything is written has nothing to clean.
func TestARunThatIsInterruptedAtOnceDoesNotBegin(t *testing.T) {
	for after := 1; after <= 4; after++ {
		w := newWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		w.wrap = func(google http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				google.ServeHTTP(rw, r)
				if calls++; calls == after {
					cancel()
				}
			})
		}
		if report, err := Run(ctx, w.Config); err == nil || len(report.Checks) > 0 {
			t.Errorf("after %d calls: %v, %d checks", after, err, len(report.Checks))
		}
		w.wroteNothing()
	}
}

var update = flag.Bool("update", false, "write the table of docs/conformance.md anew")

// Who reads the document finds each check in it, with what is assumed and who says so.
func TestTheDocumentHasEveryCheck(t *testing.T) {
	const file = "../../docs/conformance.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	table := "\n| check | assumed | source |\n|---|---|---|\n"
	for _, k := range checks {
		table += fmt.Sprintf("| `%s` | %s | %s |\n", k.id, k.assumption, k.source)
	}
	before, rest, _ := strings.Cut(string(text), "<!-- checks -->\n")
	_, after, found := strings.Cut(rest, "\n<!-- /checks -->")
	if !found && *update {
		_, after, found = strings.Cut(rest, "<!-- /checks -->")
	}
	want := before + "<!-- checks -->\n" + table + "\n<!-- /checks -->" + after
	switch {
	case !found:
		t.Fatal("it has no place for the table")
	case *update:
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	case string(text) != want:
		t.Error("its table is not that of the checks: run this test with -update")
	}
}

// Where Google loses a condition, what then stands is taken out as all else, for whomever it is.
func TestAConditionThatIsLostGivesNobodyAnything(t *testing.T) {
	for _, id := range []string{"version.needed", "version.unknown", "condition.empty", "condition.basic", "condition.marker", "member.everybody", "start", ""} {
		w := newWorld(t)
		w.wrap = func(cloud http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				check, method := made(r)
				if method != "setIamPolicy" || id != "" && check != id || check == "end" {
					cloud.ServeHTTP(rw, r)
					return
				}
				var body struct{ Policy google.Policy }
				if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
					t.Error(err)
				}
				for i := range body.Policy.Bindings {
					body.Policy.Bindings[i].Condition = nil
				}
				if err := w.cloud.SetPolicy("projects/"+scratch, body.Policy); err != nil {
					t.Error(err)
				}
				fmt.Fprint(rw, `{"etag":"BwY="}`)
			})
		}
		report := w.run(t.Context())
		if got := results(report, Differs); id != "" && id != "start" && !slices.Equal(got, []string{id}) {
			t.Errorf("%s: differing are %v", id, got)
		}
		for _, c := range report.Checks { // wherever a condition is lost
			if id == "" && c.Result == Passes && (strings.HasPrefix(c.ID, "condition.") || strings.HasPrefix(c.ID, "limit.")) {
				t.Errorf("%s passes", c.ID)
			}
		}
	}
}

// sending is what becomes of a call.
type sending func(*http.Request) (*http.Response, error)

func (s sending) RoundTrip(r *http.Request) (*http.Response, error) { return s(r) }

// A write that is under way when the run is interrupted is not done after the end has looked.
func TestAWriteThatHasBegunIsWaitedFor(t *testing.T) {
	for nth := 1; nth <= 37; nth += 4 {
		w := newWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		var late *http.Request
		writes, through := 0, w.HTTP.Transport
		w.HTTP.Transport = sending(func(r *http.Request) (*http.Response, error) {
			if _, method := made(r); method == "setIamPolicy" {
				if writes++; writes == nth {
					cancel()
				}
				if err := r.Context().Err(); err != nil && late == nil {
					late = r.Clone(t.Context())
					return nil, err
				}
			}
			return through.RoundTrip(r)
		})
		before := w.policy()
		if _, err := Run(ctx, w.Config); err != nil {
			t.Fatal(err)
		}
		if late != nil {
			if _, err := through.RoundTrip(late); err != nil {
				t.Fatal(err)
			}
		}
		if after := w.policy(); writes < nth || after != before {
			t.Errorf("write %d of %d: the policy was\n%s\nand is\n%s", nth, writes, before, after)
		}
	}
}

// A fault of ours in the middle of a run leaves nothing behind either.
func TestAFaultLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.Said = func(c Checked) {
		if c.ID == "condition.marker" {
			panic("planted")
		}
	}
	before := w.policy()
	func() {
		defer func() {
			if recover() != "planted" {
				t.Error("the fault was swallowed")
			}
		}()
		_, _ = Run(t.Context(), w.Config)
	}()
	if after := w.policy(); after != before {
		t.Errorf("the policy was\n%s\nand is\n%s", before, after)
	}
}

// What is written for nobody is for nobody of this project: without its number nothing is.
func TestAProjectWithoutANumberIsRefused(t *testing.T) {
	for _, name := range []string{"", "projects/", "projects/" + scratch, number} {
		w := newWorld(t)
		w.wrap = instead("start", scratch, edited(func(all map[string]any) { all["name"] = name }))
		if _, err := Run(t.Context(), w.Config); err == nil || !strings.Contains(err.Error(), "has no number") {
			t.Errorf("%q: %v", name, err)
		}
		w.wroteNothing()
	}
}
