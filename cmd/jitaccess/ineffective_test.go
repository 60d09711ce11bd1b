package main

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/sandbox/google"
)

// What makes nobody eligible is told to who operates the service, on the project's page,
// in the listing and by doctor; the person who was meant hears that something could not
// be read, and all others hear nothing of it.
func TestWhatMakesNobodyEligibleIsTold(t *testing.T) {
	w := newWorld(t, surroundings{environment: map[string]string{"ADMINS": "user:" + carol}})
	condition := func(expression string) *google.Condition {
		return &google.Condition{Title: "x", Expression: expression}
	}
	w.add("projects/"+project,
		eligibleBinding("roles/bigquery.admin", "has({}.jitAccessContraint)", "frank"),
		eligibleBinding("roles/run.admin", "(has({}.jitAccessConstraint))", "frank"),
		google.Binding{Role: "roles/storage.objectAdmin", Condition: condition("has({}.jitAccessConstraint)"), Members: []string{"principalSet://iam.googleapis.com/locations/global/workforcePools/p/*",
			"serviceAccount:jitaccess@example-jitaccess.iam.gserviceaccount.com", "domain:example.com"}})
	bindings := map[string][]string{
		"roles/bigquery.admin":      {"is no marker", "has({}.jitAccessConstraint)"},
		"roles/run.admin":           {"does not count"},
		"roles/storage.objectAdmin": {"principalSet://iam.googleapis.com", "serviceAccount:jitaccess@", "domain:example.com", "RESOURCE_CATALOG=PolicyAnalyzer"},
	}

	page := w.page(carol, "/access/projects/"+project).expect(t, http.StatusOK).body
	var listed, faults bytes.Buffer
	if code := run(context.Background(), []string{"eligible", "--project", project}, w.env(nil), &listed, &faults); code != exitOK {
		t.Errorf("exit status %d: %s", code, faults.String())
	}
	var examined bytes.Buffer
	examine(t.Context(), w.env(nil), recipients{}, w.mail.Roots, &examined)
	for where, text := range map[string]string{"the page": page, "the listing": listed.String(), "doctor": examined.String()} {
		text = strings.NewReplacer("&#34;", `"`, "&amp;", "&").Replace(text)
		for role, said := range bindings {
			for _, what := range append(said, role) {
				if !strings.Contains(text, what) {
					t.Errorf("%s does not say %q of %s", where, what, role)
				}
			}
		}
	}
	if frank := w.page(frank, "/access/projects/"+project).expect(t, http.StatusOK).body; !strings.Contains(frank, "could not be read") ||
		strings.Contains(frank, "bigquery.admin") || strings.Contains(frank, "on paper") {
		t.Error("who was meant is not told, or told too much")
	}
	if alice := w.page(alice, "/access/projects/"+project).expect(t, http.StatusOK).body; strings.Contains(alice, "could not be read") || strings.Contains(alice, "on paper") {
		t.Error("who was not meant is told")
	}
}

// A member of a group whom the Directory lists without a status, since they are of
// another organization, counts from either side.
func TestAMemberOfAnotherOrganizationIsAPeer(t *testing.T) {
	const partner = "consultant@partner.test"
	w := newWorld(t, surroundings{organization: func(o *google.Organization) {
		o.People = append(o.People, google.Person{Name: "Consultant", Email: partner, Subject: "accounts.google.com:1"})
		for i := range o.Groups {
			if o.Groups[i].Email == "sre@example.com" {
				o.Groups[i].Members = append(o.Groups[i].Members, partner)
			}
		}
	}})
	w.api(partner, selfURL, dict{"entitlementIds": []string{project + ":roles/logging.privateLogViewer"}, "justification": "x", "activationTimeout": 30}).expect(t, 200)
	a := w.api(alice, askURL, askBody(dict{"peers": []string{partner}})).expect(t, 200)
	_, ref, _ := strings.Cut(a.ReviewURL, "?activation=")
	ref, _, _ = strings.Cut(ref, "&")
	w.api(partner, "/api/activation-request?activation="+ref, dict{}).expect(t, 200)

	if body := w.api(alice, "/api/projects/"+project+"/peers?role=roles/compute.instanceAdmin.v1", nil).body; !strings.Contains(body, partner) {
		t.Errorf("not among the peers: %s", body)
	}
	if body := w.page(alice, "/access/projects/"+project+"?entitlement="+project+":roles/compute.instanceAdmin.v1").body; !strings.Contains(body, partner) {
		t.Error("not on the form")
	}
	for _, args := range [][]string{{"eligible", "--project", project}, {"eligible", "--format", "csv"}} {
		var out, faults lockedBuffer
		run(t.Context(), args, w.env(nil), &out, &faults)
		if !strings.Contains(out.String(), partner) {
			t.Errorf("%v does not list %s (stderr %q)", args, partner, faults.String())
		}
	}
}

func TestAnEligibilityWithAnEndOfItsOwn(t *testing.T) {
	w := newWorld(t, surroundings{})
	soon := time.Now().Add(10 * time.Minute).UTC().Truncate(time.Second)
	before := func(at time.Time) string {
		return `has({}.jitAccessConstraint) && request.time < timestamp("` + at.Format(time.RFC3339) + `")`
	}
	w.add("projects/"+project,
		eligibleBinding("roles/bigquery.admin", before(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)), "frank"),
		eligibleBinding("roles/storage.objectAdmin", `has({}.jitAccessConstraint) && request.time > timestamp("2120-01-01T00:00:00Z")`, "frank"),
		eligibleBinding("roles/run.admin", before(soon), "frank"))
	ids := map[string]string{}
	for _, e := range w.api(frank, "/api/projects/"+project+"/roles", nil).Entitlements {
		ids[e.Name] = e.ID
	}
	if ids["roles/bigquery.admin"] != "" || ids["roles/storage.objectAdmin"] != "" || ids["roles/run.admin"] == "" {
		t.Fatalf("offered are %v", ids)
	}
	// The page says so beforehand, and the id is as ever, with the condition's text.
	if page := w.page(frank, "/access/projects/"+project).body; !strings.Contains(page, "You are eligible until") || !strings.Contains(page, ids["roles/run.admin"]) {
		t.Error("the page does not say that it ends")
	}
	a := w.api(frank, selfURL, dict{"entitlementIds": []string{ids["roles/run.admin"]}, "justification": "x", "activationTimeout": 30}).expect(t, 200)
	if len(a.Entitlements) != 1 || a.Entitlements[0].EndTime != soon.Unix() {
		t.Errorf("told %+v, want an end at %d", a.Entitlements, soon.Unix())
	}
	// It is written so that the binding is known as ours, and the id found again.
	for _, e := range w.api(frank, "/api/projects/"+project+"/roles", nil).Entitlements {
		if e.Name == "roles/run.admin" && (e.Status != "ACTIVE" || e.ID != ids[e.Name]) {
			t.Errorf("then it is %+v", e)
		}
	}
	for _, b := range w.described("projects/"+project, "justification: x") {
		if want := `request.time < timestamp("` + soon.Format(time.RFC3339) + `"))) && (request.time`; !strings.Contains(b.Condition.Expression, want) {
			t.Errorf("written until another end: %s", b.Condition.Expression)
		}
	}
}

// A grant of ours that is over goes with the others, though its holder's account was
// deleted; one that is live stays.
func TestDeadGrantsOfDeletedPeopleAreCleared(t *testing.T) {
	w := newWorld(t, surroundings{})
	now, res := time.Now().Truncate(time.Second), "projects/"+project
	w.add(res, boundBy1x("roles/cloudsql.admin", "Self-approved, justification: of somebody who left", "", now.Add(-3*time.Hour), now.Add(-2*time.Hour), "alice"),
		boundBy1x("roles/cloudsql.admin", "Self-approved, justification: live of somebody who left", "", now.Add(-time.Hour), now.Add(2*time.Hour), "alice"))
	w.cloud.Faults().DeletePerson(alice)
	w.add(res, eligibleBinding("roles/cloudsql.admin", "has({}.jitAccessConstraint)", "frank"))
	w.api(frank, selfURL, selfBody(nil)).expect(t, 200)
	if n := len(w.described(res, "justification: of somebody who left")); n != 0 {
		t.Error("a grant of ours that is over for two hours stays for good")
	}
	if n := len(w.described(res, "live of somebody who left")); n != 1 {
		t.Error("a live one is gone")
	}
}
