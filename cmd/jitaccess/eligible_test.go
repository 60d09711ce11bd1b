package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/config"
	"jitaccess/internal/gcp/resourcename"
)

// Point 12: what somebody is eligible for, and through what, as JSON and as CSV.
func TestEligible(t *testing.T) {
	env := newWorld(t, surroundings{}).env(nil)
	list := func(args ...string) (int, string, string) {
		var out, faults bytes.Buffer
		code := run(context.Background(), append([]string{"eligible"}, args...), env, &out, &faults)
		return code, out.String(), faults.String()
	}

	code, out, _ := list("--person", "Alice@example.com", "--project", "shop-orders-prod")
	var alice personRoles
	if err := json.Unmarshal([]byte(out), &alice); err != nil || code != exitOK {
		t.Fatalf("exit status %d, %v:\n%s", code, err, out)
	}
	why := map[string]string{}
	for _, e := range alice.Entitlements {
		for _, w := range e.Through {
			why[e.Name] += e.ActivationType + " " + e.Status + " " + w.Node + " " + w.Member + ";"
		}
	}
	for role, want := range map[string]string{
		"roles/cloudsql.admin":           "JIT INACTIVE projects/shop-orders-prod user:alice@example.com;",
		"roles/secretmanager.admin":      "MPA ACTIVE projects/shop-orders-prod group:sre@example.com;",
		"roles/compute.instanceAdmin.v1": "MPA INACTIVE folders/731905264410 group:sre@example.com;",
		"roles/logging.privateLogViewer": "JIT INACTIVE folders/731905264410 group:sre@example.com;",
	} {
		if why[role] != want {
			t.Errorf("%s: %q, want %q", role, why[role], want)
		}
	}

	// Everybody, from their groups: the same as one by one.
	code, everybody, _ := list("--project", "shop-payments-prod")
	if code != exitOK {
		t.Errorf("exit status %d", code)
	}
	var people []string
	nobody := ""
	for line := range strings.Lines(everybody) {
		if strings.HasPrefix(line, `{"forNobody":`) {
			nobody = line
			continue
		}
		if nobody != "" {
			t.Errorf("somebody comes after what makes nobody eligible: %s", line)
		}
		var r personRoles
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		people = append(people, string(r.Person))
		_, alone, _ := list("--person", string(r.Person), "--project", "shop-payments-prod")
		if alone != line {
			t.Errorf("%s: among everybody\n%salone\n%s", r.Person, line, alone)
		}
	}
	if want := "alice@example.com bob@example.com carol@example.com dan.o'brien@example.com erin@example.com"; strings.Join(people, " ") != want {
		t.Errorf("eligible are %q, want %q", strings.Join(people, " "), want)
	}

	for _, want := range []string{`"role":"roles/pubsub.editor"`, `"reason":"not-understood"`, `"member":"group:payments@example.com","reason":"groups-in-group"`} {
		if !strings.Contains(nobody, want) {
			t.Errorf("what makes nobody eligible lacks %s: %s", want, nobody)
		}
	}

	// Everything, for an access review.
	code, table, _ := list("--format", "csv")
	if code != exitOK || !strings.HasPrefix(table, "person,project,role,") {
		t.Errorf("exit status %d:\n%s", code, table)
	}
	for _, line := range []string{
		"bob@example.com,shop-payments-prod,roles/cloudsql.admin,,MPA,INACTIVE,,projects/shop-payments-prod,group:payments-leads@example.com\n",
		"alice@example.com,example.com:intranet,roles/storage.admin,,MPA,INACTIVE,,projects/example.com:intranet,user:alice@example.com\n",
		",shop-payments-prod,roles/cloudsql.admin,,groups-in-group,FOR NOBODY,,projects/shop-payments-prod,group:payments@example.com\n",
		"erin@example.com,shop-build,roles/iam.securityReviewer,,JIT,INACTIVE,,organizations/482093157016,group:security@example.com\n",
	} {
		if !strings.Contains(table, line) {
			t.Errorf("lacks %s", line)
		}
	}

	for _, wrong := range [][]string{{"--person", "alice"}, {"--project", "../x"}, {"--format", "xml"}, {"extra"}, {"--nonsense"}} {
		if code, _, said := list(wrong...); code != exitUsage || said == "" {
			t.Errorf("%v: exit status %d, %q", wrong, code, said)
		}
	}
	if code, _, said := list("--project", "no-such-project"); code != exitFailure || !strings.Contains(said, "projects/no-such-project") {
		t.Errorf("an unknown project: exit status %d, %q", code, said)
	}
}

// TestEligibleIsWhatTheServiceAnswers: without the reasons the listing is what the
// API of JIT Access 1.x answers to that person, so that the two can be compared.
func TestEligibleIsWhatTheServiceAnswers(t *testing.T) {
	w := newWorld(t, surroundings{})
	for _, person := range []string{alice, bob, "dan.o'brien@example.com", frank} {
		for _, project := range []string{"shop-orders-prod", "shop-payments-prod", "example.com:intranet"} {
			served := w.api(person, "/api/projects/"+project+"/roles", nil).expect(t, 200)
			var out bytes.Buffer
			run(context.Background(), []string{"eligible", "--person", person, "--project", project}, w.env(nil), &out, io.Discard)
			if served, listed := rolesIn(t, []byte(served.body)), rolesIn(t, out.Bytes()); !reflect.DeepEqual(served, listed) {
				t.Errorf("%s on %s: served\n%v\nlisted\n%v", person, project, served, listed)
			}
		}
	}
}

// rolesIn are the entitlements of an answer without what 1.x does not have.
func rolesIn(t *testing.T, body []byte) []any {
	t.Helper()
	var answer struct {
		Entitlements []any `json:"entitlements"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	for _, e := range answer.Entitlements {
		delete(e.(map[string]any), "through")
	}
	return answer.Entitlements
}

// providerOf answers from functions.
type providerOf struct {
	broker.Provider
	projects []access.ResourceInfo
	standing func(on access.Resource) (access.Standing, error)
}

func (p providerOf) Resources(context.Context, access.Principal) ([]access.ResourceInfo, []*access.Error, error) {
	return p.projects, nil, nil
}

func (p providerOf) Standing(_ context.Context, q access.StandingQuery) (access.Standing, error) {
	return p.standing(q.Resource)
}

// TestEligibleWaitsForQuota, and leaves out what cannot be had without hiding it.
func TestEligibleWaitsForQuota(t *testing.T) {
	id := access.EntitlementID{Resource: "projects/a", Role: "roles/x", Condition: `-1 < 2`}
	var waited time.Duration
	refusals := map[access.Resource]int{"projects/a": 2, "projects/b": 1000}
	e := eligible{now: time.Now, sleep: func(_ context.Context, d time.Duration) error { waited += d; return nil }}
	var faults, out bytes.Buffer
	e.stderr, e.out = &faults, newRolesCSV(&out)
	provider := providerOf{projects: []access.ResourceInfo{{Resource: "projects/a"}, {Resource: "projects/b"}, {Resource: "projects/c"}}, standing: func(on access.Resource) (access.Standing, error) {
		if refusals[on]--; refusals[on] >= 0 {
			return access.Standing{}, &access.Error{Kind: access.TooMany, Code: access.CodeQuota}
		}
		if on == "projects/c" {
			return access.Standing{}, &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource}
		}
		return access.Standing{Resource: on, Holdings: map[access.Principal][]access.Entitlement{"ana@example.com": {{ID: id, PeerApproval: true}}}}, nil
	}}
	settings := &config.Config{Requests: config.Requests{JustificationPattern: regexp.MustCompile("")}}
	e.broker = broker.New(broker.Config{Providers: []broker.Registration{{Provider: provider, Kinds: resourcename.Kinds}},
		Policy: policyOf(settings), Now: time.Now})
	err := e.run(context.Background())
	if err == nil || !strings.Contains(err.Error(), "1 of 3 resources") {
		t.Errorf("error %v", err)
	}
	if waited != (2+quotaAttempts)*quotaWait {
		t.Errorf("waited %v", waited)
	}
	for _, said := range []string{"projects/b cannot be looked up", "projects/c is left out"} {
		if !strings.Contains(faults.String(), said) {
			t.Errorf("does not say %q: %s", said, faults.String())
		}
	}
	// A cell that a spreadsheet would calculate is marked as text.
	if want := "ana@example.com,a,roles/x,'-1 < 2,MPA,INACTIVE,,,\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("prints %q", out.String())
	}
}

// TestEligibleOfPolicyAnalyzer: the listing reads policies and the directory with
// either catalog, and says so.
func TestEligibleOfPolicyAnalyzer(t *testing.T) {
	for _, test := range []struct {
		name, customer string
		args           []string
		code           int
		lists, says    string
	}{
		{"everybody", "", []string{"--project", "shop-orders-prod"}, exitOK, "alice@example.com", "by direct membership"},
		{"a person, of unknown customer", "", []string{"--person", "alice@example.com"}, exitUsage, "", "set RESOURCE_CUSTOMER_ID"},
		{"a person", "as it is", []string{"--person", "alice@example.com", "--project", "shop-orders-prod"}, exitOK, "group:sre@example.com", "by direct membership"},
	} {
		t.Run(test.name, func(t *testing.T) {
			change := map[string]string{"RESOURCE_CATALOG": "PolicyAnalyzer"}
			if test.customer == "" {
				change["RESOURCE_CUSTOMER_ID"] = ""
			}
			env := newWorld(t, surroundings{environment: change}).env(nil)
			var out, faults bytes.Buffer
			code := run(context.Background(), append([]string{"eligible"}, test.args...), env, &out, &faults)
			if code != test.code || !strings.Contains(out.String(), test.lists) || !strings.Contains(faults.String(), test.says) {
				t.Errorf("exit status %d: %s\n%s", code, out.String(), faults.String())
			}
		})
	}
}

// TestEligibleSpeaksInWords: what could not be looked up is told as the pages tell it,
// with the cause, and nowhere by the code of an error.
func TestEligibleSpeaksInWords(t *testing.T) {
	var faults, out bytes.Buffer
	e := eligible{now: time.Now, sleep: func(context.Context, time.Duration) error { return nil }, stderr: &faults, out: rolesJSON{&out}}
	id := access.EntitlementID{Resource: "projects/a", Role: "roles/x"}
	unreadable := &access.Error{Kind: access.Upstream, Code: access.CodeGroupUnreadable, Args: access.Args{"group": "sre@example.com"},
		Err: errors.New("the directory says no")}
	e.broker = broker.New(broker.Config{Now: time.Now, Policy: policyOf(&config.Config{Requests: config.Requests{JustificationPattern: regexp.MustCompile("")}}),
		Providers: []broker.Registration{{Kinds: resourcename.Kinds, Provider: providerOf{
			projects: []access.ResourceInfo{{Resource: "projects/a"}, {Resource: "projects/b"}, {Resource: "projects/c"}},
			standing: func(on access.Resource) (access.Standing, error) {
				switch on {
				case "projects/b":
					return access.Standing{}, &access.Error{Kind: access.TooMany, Code: access.CodeQuota, Args: access.Args{"service": "Cloud Asset Inventory"}}
				case "projects/c":
					return access.Standing{}, &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource, Args: access.Args{"resource": "projects/c"}}
				}
				return access.Standing{Resource: on, Warnings: []*access.Error{unreadable},
					Holdings: map[access.Principal][]access.Entitlement{"ana@example.com": {{ID: id, PeerApproval: true}}}}, nil
			}}}}})
	if err := e.run(t.Context()); err == nil {
		t.Error("nothing failed")
	}
	const missing = "The members of sre@example.com could not be read, so people may be missing."
	for _, want := range []string{
		"projects/a: " + missing + " (the directory says no)\n",
		"projects/b cannot be looked up: Cloud Asset Inventory is receiving too many calls at the moment. Try again in a minute.\n",
		"projects/c is left out: There is no ", "Check the name.",
	} {
		if !strings.Contains(faults.String(), want) {
			t.Errorf("does not say %q:\n%s", want, faults.String())
		}
	}
	if want := `"warnings":["` + missing + `"]`; !strings.Contains(out.String(), want) {
		t.Errorf("lacks %s: %s", want, out.String())
	}
	for _, code := range []access.Code{access.CodeGroupUnreadable, access.CodeQuota, access.CodeUnknownResource} {
		if text := faults.String() + out.String(); strings.Contains(text, ": "+string(code)) {
			t.Errorf("says the code %s:\n%s", code, text)
		}
	}
}

// Who reads what the commands say is the administrator.
func TestAnAdministratorIsNotSentToTheAdministrator(t *testing.T) {
	for code, want := range map[access.Code]string{
		access.CodeUnreadableBinding: "Some eligibility here could not be read, so roles may be missing. (why)",
		access.CodeUpstreamFailed:    "Cloud Asset Inventory did not answer as it should. Try again in a minute. (why)",
	} {
		e := &access.Error{Kind: access.Upstream, Code: code, Args: access.Args{"service": "Cloud Asset Inventory"}, Err: errors.New("why")}
		if got := told(e); strings.Contains(got, "administrator") || got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A cause is told once, whoever has passed it on.
func TestTheCauseIsToldOnce(t *testing.T) {
	cause := errors.New("no such condition")
	inner := &access.Error{Kind: access.Unprocessable, Code: access.CodeNotUnderstood, Args: access.Args{"reason": cause.Error()}, Err: cause}
	for what, err := range map[string]*access.Error{
		"of somebody else":     {Kind: access.Unprocessable, Code: access.CodeUnreadableBinding, Err: cause},
		"of an error of ours":  {Kind: access.Unprocessable, Code: access.CodeUnreadableBinding, Err: inner},
		"of an error in it":    {Kind: access.Unprocessable, Code: access.CodeUnreadableBinding, Err: &access.Error{Code: access.CodeUnreadableBinding, Err: inner}},
		"of several, joined":   {Kind: access.Unprocessable, Code: access.CodeUnreadableBinding, Err: errors.Join(cause)},
		"and nothing below it": {Kind: access.Unprocessable, Code: access.CodeUnreadableBinding},
	} {
		got, once := told(err), 1
		if err.Err == nil {
			once = 0
		}
		if strings.Count(got, cause.Error()) != once || strings.Contains(got, string(access.CodeNotUnderstood)) || strings.Contains(got, "()") {
			t.Errorf("%s: %s", what, got)
		}
	}
}
