package google_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	crm "google.golang.org/api/cloudresourcemanager/v3"

	"jitaccess/internal/sandbox/google"
)

func TestReadModifyWriteKeepsWhatIsForeign(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	p := read(t, s, orders)
	if p.Version != 3 || p.Etag == "" || len(p.AuditConfigs) != 1 {
		t.Fatalf("version %d, etag %q, %d audit configurations", p.Version, p.Etag, len(p.AuditConfigs))
	}
	before := len(p.Bindings)
	p.Bindings = append(p.Bindings, &crm.Binding{Role: "roles/logging.viewer", Members: []string{"user:frank@example.com"}})
	written, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do()
	if err != nil {
		t.Fatal(err)
	}
	after := read(t, s, orders)
	if len(after.Bindings) != before+1 || len(after.AuditConfigs) != 1 || after.Etag != written.Etag || after.Etag == p.Etag {
		t.Errorf("bindings %d → %d, audit configurations %d, etags %s %s %s", before, len(after.Bindings), len(after.AuditConfigs), p.Etag, written.Etag, after.Etag)
	}
	for i, b := range after.Bindings {
		if b.Role != p.Bindings[i].Role || !slices.Equal(b.Members, p.Bindings[i].Members) {
			t.Errorf("binding %d moved: %s", i, b.Role)
		}
	}
}

func TestStaleEtagIsAborted(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	p := read(t, s, orders)
	if _, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do()
	refused(t, err, 409, "concurrent policy changes")
	if !strings.Contains(fmt.Sprint(err), "aborted") {
		t.Errorf("no reason in %v", err)
	}
}

// Google's JSON takes bytes in either Base64 alphabet; gcloud writes the one for
// URLs (https://protobuf.dev/programming-guides/json/).
func TestEtagIsTakenInEitherAlphabet(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	for range 1100 { // the next to last character changes with every 16th etag
		p := read(t, s, orders)
		differs := strings.ContainsAny(p.Etag, "+/")
		p.Etag = strings.NewReplacer("+", "-", "/", "_").Replace(p.Etag)
		if _, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do(); err != nil {
			t.Fatalf("%s: %v", p.Etag, err)
		}
		if differs {
			return
		}
	}
	t.Error("no etag tells the alphabets apart")
}

func TestConditionsAreHiddenFromReadersOfOlderVersions(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	for _, version := range []int64{0, 1} {
		p, err := s.Projects.GetIamPolicy(orders, &crm.GetIamPolicyRequest{Options: &crm.GetPolicyOptions{RequestedPolicyVersion: version}}).Do()
		if err != nil {
			t.Fatal(err)
		}
		if p.Version != 1 || !strings.HasPrefix(p.Bindings[0].Role, "roles/cloudsql.admin_withcond_") || p.Bindings[0].Condition != nil {
			t.Errorf("asked for %d: version %d, %s", version, p.Version, p.Bindings[0].Role)
		}
		// What was read so cannot be written back.
		_, err = s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do()
		refused(t, err, 400, "version 3")
		p.Etag = ""
		_, err = s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do()
		refused(t, err, 400, "is not supported for this resource")
	}
	_, err := s.Projects.GetIamPolicy(orders, &crm.GetIamPolicyRequest{Options: &crm.GetPolicyOptions{RequestedPolicyVersion: 2}}).Do()
	refused(t, err, 400, "version")
}

func TestPolicyWithoutConditionsIsVersion1(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	if p := read(t, s, "projects/shop-frontend-dev"); p.Version != 1 || p.Etag != "ACAB" || len(p.Bindings) != 0 {
		t.Errorf("an empty policy is %+v", p)
	}
}

func TestWithoutEtagConditionsAreLost(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	p := read(t, s, orders)
	p.Version, p.Etag = 1, ""
	for _, b := range p.Bindings {
		b.Condition = nil
	}
	if _, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, orders); got.Version != 1 {
		t.Errorf("version %d", got.Version)
	}
	if !f.Allowed("user:alice@example.com", "roles/cloudsql.admin", orders, start) {
		t.Error("an eligibility without its condition is a grant, and this is not")
	}
}

func TestUpdateMask(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	write := func(mask string) *crm.Policy {
		t.Helper()
		p := read(t, s, orders)
		p.AuditConfigs = nil
		if _, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p, UpdateMask: mask}).Do(); err != nil {
			t.Fatal(err)
		}
		return read(t, s, orders)
	}
	if p := write(""); len(p.AuditConfigs) != 1 {
		t.Error("without a mask the audit configuration is not written")
	}
	f.Faults().ReplaceWholePolicy(true)
	if p := write(""); len(p.AuditConfigs) != 0 {
		t.Error("the switch has no effect")
	}
	f.Faults().Reset()
	if p := write("auditConfigs,etag"); len(p.AuditConfigs) != 0 || len(p.Bindings) == 0 {
		t.Error("a mask with auditConfigs alone writes them alone")
	}
	_, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: &crm.Policy{}, UpdateMask: "colour"}).Do()
	refused(t, err, 400, "colour")
}

func TestBindingsMayBeRearranged(t *testing.T) {
	f := newFixture(t)
	f.Faults().ReorderBindings(true)
	s := resourceManager(t, f.service())
	p := read(t, s, orders)
	p.Bindings = append(p.Bindings, &crm.Binding{Role: "roles/browser", Members: []string{"user:frank@example.com"}}, &crm.Binding{Role: "roles/browser", Members: []string{"user:alice@example.com"}})
	if _, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do(); err != nil {
		t.Fatal(err)
	}
	got := read(t, s, orders)
	if b := got.Bindings[0]; b.Role != "roles/browser" || !slices.Equal(b.Members, []string{"user:alice@example.com", "user:frank@example.com"}) {
		t.Errorf("first binding: %s %v", b.Role, b.Members)
	}
}

func many(n int, format string) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(format, i))
	}
	return all
}

func TestPolicyRules(t *testing.T) {
	frank := []string{"user:frank@example.com"}
	when := func(expression string) *crm.Expr { return &crm.Expr{Title: "t", Expression: expression} }
	bind := func(role string, members []string, condition *crm.Expr) []*crm.Binding {
		return []*crm.Binding{{Role: role, Members: members, Condition: condition}}
	}
	const role = "roles/logging.viewer"
	twentyOne := func(n int) []*crm.Binding {
		var all []*crm.Binding
		for i := range n {
			all = append(all, bind(role, frank, when(fmt.Sprintf("%d < 30", i)))...)
		}
		return all
	}
	operators := func(n int) string { return "true" + strings.Repeat(" && true", n) }
	for _, rule := range []struct {
		name  string
		add   []*crm.Binding
		words string // empty: accepted
	}{
		{"a plain binding", bind(role, frank, nil), ""},
		{"addresses in capitals mean the same person", bind(role, []string{"user:Frank@Example.com"}, nil), ""},
		{"a custom role of the organization", bind("organizations/482093157016/roles/incidentResponder", frank, nil), ""},
		{"a principal of workload identity", bind(role, []string{"principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/subject/s"}, nil), ""},
		{"the markers are CEL", bind(role, frank, when("has({}.jitAccessConstraint) && has({}.multiPartyApprovalConstraint)")), ""},
		{"attributes of the request and the resource", bind(role, frank, when(`request.time < timestamp("2030-01-01T00:00:00Z") && resource.name.extract("a/{x}/") == "b" && resource.service != "" && resource.matchTag("1/env", "prod")`)), ""},
		{"a limit on the roles that may be granted", bind(role, frank, when(`api.getAttribute("iam.googleapis.com/modifiedGrantsByRole", []).hasOnly(["roles/viewer"])`)), ""},
		{"twelve logic operators", bind(role, frank, when(operators(12))), ""},
		{"a description of 256 characters", bind(role, frank, &crm.Expr{Title: "t", Expression: "true", Description: strings.Repeat("é", 256)}), ""},
		{"twenty conditions for one role and member", twentyOne(20), ""},
		{"an empty condition is none", bind(role, frank, &crm.Expr{}), ""},

		{"an unknown role", bind("roles/nothing.real", frank, nil), "Role roles/nothing.real is not supported for this resource."},
		{"a role for organizations", bind("roles/resourcemanager.organizationAdmin", frank, nil), "Role roles/resourcemanager.organizationAdmin is not supported for this resource."},
		{"a custom role of another project", bind("projects/shop-payments-prod/roles/ledgerRepair", frank, nil), "does not exist in the resource's hierarchy"},
		{"no role", bind("", frank, nil), "Role is required"},
		{"an unknown person", bind(role, []string{"user:x@example.com"}, nil), "User x@example.com does not exist."},
		{"an unknown group", bind(role, []string{"group:x@example.com"}, nil), "Group x@example.com does not exist."},
		{"an unknown service account", bind(role, []string{"serviceAccount:x@y.iam.gserviceaccount.com"}, nil), "Service account x@y.iam.gserviceaccount.com does not exist."},
		{"an unknown domain", bind(role, []string{"domain:other.example"}, nil), "Domain other.example does not exist."},
		{"a member without type", bind(role, []string{"frank@example.com"}, nil), `Policy members must be of the form "<type>:<value>".`},
		{"a member of unknown type", bind(role, []string{"robot:x@example.com"}, nil), "Invalid member"},
		{"a member with a space", bind(role, []string{"user:frank@example.com "}, nil), "Invalid member"},
		{"a deleted member that was not there", bind(role, []string{"deleted:user:x@example.com?uid=1"}, nil), "Deleted member"},
		{"everybody", bind(role, []string{"allUsers"}, nil), "do not support allUsers"},
		{"everybody, conditionally", bind(role, []string{"allAuthenticatedUsers"}, when("true")), "Conditions can't be set on bindings with members allUsers"},
		{"a condition on a basic role", bind("roles/editor", frank, when("true")), "Conditions can't be set on primitive roles"},
		{"a condition that is not CEL", bind(role, frank, when(`resource.name.startsWith("projects/`)), "Invalid condition"},
		{"a condition in capitals", bind(role, frank, when("HAS({}.jitAccessConstraint)")), "Invalid condition"},
		{"a condition that is not boolean", bind(role, frank, when(`"yes"`)), "not bool"},
		{"an attribute that does not exist", bind(role, frank, when(`request.colour == "red"`)), "undeclared reference"},
		{"text compared with a number", bind(role, frank, when(`resource.name == 1`)), "no matching overload"},
		{"thirteen logic operators", bind(role, frank, when(operators(13))), "13 logic operators"},
		{"a condition without title", bind(role, frank, &crm.Expr{Expression: "true"}), "title is empty"},
		{"a condition without expression", bind(role, frank, &crm.Expr{Title: "t"}), "expression is empty"},
		{"a long title", bind(role, frank, &crm.Expr{Title: strings.Repeat("t", 101), Expression: "true"}), "title is longer"},
		{"a long description", bind(role, frank, &crm.Expr{Title: "t", Expression: "true", Description: strings.Repeat("d", 257)}), "description is longer"},
		{"twenty-one conditions for one role and member", twentyOne(21), "more than 20 conditional role bindings"},
		{"1,501 members, one of them often", append(bind(role, slices.Repeat(frank, 1490), nil), bind("roles/browser", frank, nil)...), "The number of members in the policy (1,50"},
		{"251 groups", bind(role, many(251, "group:g%d@example.com"), nil), "The number of groups and domains in the policy (25"},
	} {
		t.Run(rule.name, func(t *testing.T) {
			f := newFixture(t, func(o *google.Options) {
				o.Organization = google.Believable(start)
				for i := range 251 {
					o.Organization.Groups = append(o.Organization.Groups, google.Group{Email: fmt.Sprintf("g%d@example.com", i)})
				}
			})
			s := resourceManager(t, f.service())
			p := read(t, s, orders)
			p.Version = 3
			p.Bindings = append(p.Bindings, rule.add...)
			_, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do()
			if rule.words == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			refused(t, err, 400, rule.words)
			if read(t, s, orders).Etag != p.Etag {
				t.Error("the policy was changed all the same")
			}
		})
	}
}

func TestMembersAreCountedAsOftenAsTheyAppear(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	for count, words := range map[int]string{1500: "", 1501: "The number of members in the policy (1,501) is larger than the maximum allowed size 1,500."} {
		p := read(t, s, "projects/shop-frontend-dev")
		p.Bindings = []*crm.Binding{{Role: "roles/logging.viewer", Members: slices.Repeat([]string{"user:frank@example.com"}, count)}}
		_, err := s.Projects.SetIamPolicy("projects/shop-frontend-dev", &crm.SetIamPolicyRequest{Policy: p}).Do()
		if words != "" {
			refused(t, err, 400, words)
		} else if err != nil {
			t.Error(err)
		}
	}
}

func TestVersionsOfWrites(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	for version, words := range map[int64]string{1: "must specify version 3", 2: "Invalid policy version", 4: "Invalid policy version"} {
		p := read(t, s, orders)
		p.Version = version
		_, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do()
		refused(t, err, 400, words)
	}
}

func TestBrokenConditionThatStandsDoesNotHinderWrites(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	const payments = "projects/shop-payments-prod"
	p := read(t, s, payments)
	p.Bindings = append(p.Bindings, &crm.Binding{Role: "roles/logging.viewer", Members: []string{"user:frank@example.com"}})
	if _, err := s.Projects.SetIamPolicy(payments, &crm.SetIamPolicyRequest{Policy: p}).Do(); err != nil {
		t.Error(err)
	}
}

// TestEtagInEitherAlphabet: gcloud sends back what it read in the alphabet for URLs.
func TestEtagInEitherAlphabet(t *testing.T) {
	f := newFixture(t)
	seen := 0
	for i := 0; seen < 2 && i < 5000; i++ {
		f.offset.Add(int64(time.Millisecond))
		if err := f.SetPolicy(orders, google.Policy{Bindings: []google.Binding{{Role: "roles/viewer", Members: []string{"user:alice@example.com"}}}}); err != nil {
			t.Fatal(err)
		}
		raw, err := f.Policy(orders)
		if err != nil {
			t.Fatal(err)
		}
		var p google.Policy
		if err := json.Unmarshal(raw, &p); err != nil {
			t.Fatal(err)
		}
		if !strings.ContainsAny(p.Etag, "+/") {
			continue
		}
		seen++
		sent := strings.NewReplacer("+", "-", "/", "_").Replace(p.Etag)
		status, text := f.do("POST", "/v3/"+orders+":setIamPolicy", `{"policy":{"version":3,"etag":"`+sent+`"}}`, "Authorization", "Bearer "+f.metadataToken())
		if status != 200 {
			t.Errorf("%s: %d %s", sent, status, text)
		}
	}
	if seen < 2 {
		t.Error("no etag has such a character")
	}
}

func TestBodiesAreReadStrictly(t *testing.T) {
	f := newFixture(t)
	for name, body := range map[string]string{
		"an unknown field":  `{"policy":{"bindings":[],"colour":"red"}}`,
		"no policy":         `{}`,
		"not JSON":          `{"policy":`,
		"two values":        `{"policy":{}} {}`,
		"an unpadded etag":  `{"policy":{"etag":"???"}}`,
		"a list":            `[]`,
		"a number as title": `{"policy":{"bindings":[{"condition":{"title":1}}]}}`,
	} {
		status, text := f.do("POST", "/v3/"+orders+":setIamPolicy", body, "Authorization", "Bearer "+f.metadataToken())
		if status != 400 || !strings.Contains(text, `"status": "INVALID_ARGUMENT"`) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
}

// FuzzSetIamPolicy: whatever is sent, the answer is one of Google's, and a policy
// that was taken can be read again.
func FuzzSetIamPolicy(fuzz *testing.F) {
	for _, seed := range []string{
		`{"policy":{"version":3,"bindings":[{"role":"roles/viewer","members":["user:alice@example.com"]}],"etag":"ACAB"}}`,
		`{"policy":{"version":3,"bindings":[{"role":"roles/browser","members":["user:alice@example.com"],"condition":{"title":"t","expression":"has({}.x) || [1].exists(x, x > 0)"}}]}}`,
		`{"policy":{"auditConfigs":[{"service":"allServices"}]},"updateMask":"auditConfigs"}`, `{"policy":null}`, `null`, `[`,
	} {
		fuzz.Add(seed)
	}
	cloud, err := google.New(google.Options{WithoutCredentials: true})
	if err != nil {
		fuzz.Fatal(err)
	}
	fuzz.Fuzz(func(t *testing.T, body string) {
		const path = "/v3/projects/shop-frontend-dev:"
		if code := call(cloud, "POST", path+"setIamPolicy", body); code != 200 && code != 400 && code != 409 {
			t.Errorf("%d for %s", code, body)
		}
		if code := call(cloud, "POST", path+"getIamPolicy", ""); code != 200 {
			t.Errorf("%d when reading after %s", code, body)
		}
	})
}

// gcloud sends an etag in the alphabet for URLs, whichever it came in.
func TestEtagsInEitherAlphabet(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	seen := 0
	for range 300 {
		// Some seconds on, an etag differs in more than its end.
		f.offset.Add(int64(10 * time.Second))
		p := read(t, s, orders)
		etag := p.Etag
		if p.Etag = strings.NewReplacer("+", "-", "/", "_").Replace(etag); p.Etag != etag {
			seen++
		}
		if _, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do(); err != nil {
			t.Fatalf("%s as %s: %v", etag, p.Etag, err)
		}
	}
	if seen == 0 {
		t.Error("no etag had a character that differs")
	}
}
