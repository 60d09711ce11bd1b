package main

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"jitaccess/internal/access"
	"jitaccess/internal/mail/smtptest"
	"jitaccess/internal/sandbox/google"
)

// TestGoogleFailsForEver: whatever goes on failing is reported within the deadline,
// and nothing of it was done. All at once, on a project each.
func TestGoogleFailsForEver(t *testing.T) {
	faults := []google.Fault{{Status: 409}, {Status: 429}, {Status: 503}, {Hang: true}, {Lose: google.LoseByReset}}
	role := "roles/run.admin"
	w := newWorld(t, surroundings{organization: func(o *google.Organization) {
		for i := range faults {
			o.Projects = append(o.Projects, google.Project{ID: fmt.Sprintf("broken-%d", i), Number: fmt.Sprint(7000 + i), DisplayName: "Broken", Parent: "organizations/" + o.ID,
				Policy: google.Policy{Bindings: []google.Binding{{Role: role, Members: []string{"user:" + alice}, Condition: &google.Condition{Title: "Eligible", Expression: "has({}.jitAccessConstraint)"}}}}})
		}
	}})
	var all sync.WaitGroup
	for i, f := range faults {
		on := fmt.Sprintf("broken-%d", i)
		f.Path = "/v3/projects/" + on + ":setIamPolicy"
		w.cloud.Faults().Add(f)
		all.Go(func() {
			a := w.api(alice, "/api/projects/"+on+"/roles/self-activate", selfBody(dict{"entitlementIds": []string{on + ":" + role}}))
			policy, err := w.cloud.Policy("projects/" + on)
			granted := err == nil && strings.Contains(string(policy), "JIT access activation")
			switch {
			case f.Lose != "" && a.status == 200 && granted: // looked for, and found
			case a.status < 400 || a.Code == "":
				t.Errorf("%+v: %d %s", f, a.status, a.body)
			case granted && a.Code != "unknown-outcome":
				t.Errorf("%+v: refused with %s, and granted", f, a.Code)
			}
		})
	}
	all.Wait()
}

// TestARefusalAboutSomebodyElse: what Google holds against another member or role of the
// policy is told to nobody as their own address or role: not to whoever asks, approves or
// ends.
func TestARefusalAboutSomebodyElse(t *testing.T) {
	w := newWorld(t, surroundings{})
	refuse := func(text string) {
		w.cloud.Faults().Clear()
		w.cloud.Faults().Add(google.Fault{Path: "/v3/projects/{id}:setIamPolicy", Status: 400, Message: text})
	}
	const account = "Service account old-batch@shop-orders-prod.iam.gserviceaccount.com does not exist."
	for _, text := range []string{
		account,
		"The member principalSet://iam.googleapis.com/pool/x is of an unknown type. Please set a valid type prefix for the member.",
		"Role (projects/shop-orders-prod/roles/gone) does not exist in the resource's hierarchy.",
		"Role roles/run.developer is not supported for this resource.",
	} {
		w.reset()
		refuse(text)
		a := w.api(alice, selfURL, selfBody(nil)).expect(t, 422)
		if a.Code != "platform-refused" || !strings.Contains(a.Message, text) || strings.Contains(a.Message, alice) || strings.Contains(a.Message, "cloudsql") {
			t.Errorf("Google says: %s\n\tAlice reads: %s", text, a.Message)
		}
	}
	w.reset()
	ref, id := w.ask()
	refuse(account)
	if a := w.api(bob, decideURL(ref), dict{}); a.Code != "platform-refused" || strings.Contains(a.Message, alice) {
		t.Errorf("the approver reads: %s", a.Message)
	}
	w.cloud.Faults().Clear()
	w.api(bob, decideURL(ref), dict{}).expect(t, 200)
	refuse(account)
	if a := w.api(alice, "/api/requests/"+id+"/end", dict{"resource": "projects/" + project}); a.Code != "platform-refused" || strings.Contains(a.Message, alice) {
		t.Errorf("who ends their access reads: %s", a.Message)
	}
}

// TestMailThatFailsIsAWarning: the request stands, the answer names who could not be
// told and has the link to pass on.
func TestMailThatFailsIsAWarning(t *testing.T) {
	refusal := &smtp.SMTPError{Code: 550, Message: "no such user"}
	for rule, test := range map[string]struct {
		mail        smtptest.Options
		environment map[string]string
		warns       string
		sent        int
	}{
		"the server is down":              {smtptest.Options{Cut: smtptest.AtGreeting}, nil, bob + " could not be told", 0},
		"it refuses one recipient":        {smtptest.Options{RefuseRecipient: map[string]*smtp.SMTPError{bob: refusal}}, nil, bob + " could not be told", 1},
		"it refuses the message":          {smtptest.Options{Refuse: map[smtptest.Step]*smtp.SMTPError{smtptest.AtAnswer: refusal}}, nil, bob + " could not be told", 0},
		"its certificate is a stranger's": {smtptest.Options{Certificate: smtptest.UnknownAuthority}, nil, bob + " could not be told", 0},
		"no mail is configured":           {smtptest.Options{}, map[string]string{"SMTP_SENDER_ADDRESS": "", "SMTP_USERNAME": "", "SMTP_SECRET": "", "SMTP_HOST": "", "SMTP_PORT": ""}, "Nobody gets a mail", 0},
		"all is well":                     {smtptest.Options{}, nil, "", 1},
	} {
		t.Run(rule, func(t *testing.T) {
			w := newWorld(t, surroundings{mail: test.mail, environment: test.environment})
			a := w.api(alice, askURL, askBody(nil)).expect(t, 200, "reviewUrl")
			if got := strings.Join(a.Warnings, "; "); !strings.Contains(got, test.warns) || (test.warns == "") != (got == "") {
				t.Errorf("warns %q", got)
			}
			if n := len(w.mail.Messages()); n != test.sent {
				t.Errorf("%d mails", n)
			}
			u, err := url.Parse(a.ReviewURL)
			if err != nil {
				t.Fatal(err)
			}
			ref := u.Query().Get("activation")
			w.page(bob, reviewPath(ref)).expect(t, 200, "Node 7 hangs")
			w.form(alice, "/access/projects/"+project, url.Values{"id": {w.formID(access.Peers)}, "entitlement": {peerID}, "justification": {"Node 8"}, "minutes": {"30"}, "reviewer": {bob}})
			w.api(bob, decideURL(ref), dict{}).expect(t, 200, `"ACTIVE"`)
			if w.granted(a.Entitlements[0].ActivationID) != 1 {
				t.Error("not granted")
			}
		})
	}
}

// TestEligibilityIsReadAtTheMomentOfEffect: what the inventory still believes does
// not count where it can be asked better; where not, the answer says so.
func TestEligibilityIsReadAtTheMomentOfEffect(t *testing.T) {
	t.Run("inherited, lost since, and the inventory is stale", func(t *testing.T) {
		w := newWorld(t, surroundings{})
		ref, id := w.ask()
		w.cloud.Faults().FreezeInventory(true)
		p := w.policy("folders/731905264410")
		var kept []google.Binding
		for _, b := range p.Bindings {
			if b.Role != "roles/compute.instanceAdmin.v1" {
				kept = append(kept, b)
			}
		}
		p.Bindings = kept
		if err := w.cloud.SetPolicy("folders/731905264410", p); err != nil {
			t.Fatal(err)
		}
		w.api(bob, decideURL(ref), dict{}).expect(t, 403)
		if w.granted(id) != 0 {
			t.Error("granted")
		}
	})
	t.Run("inherited from a folder that the project has left, and the inventory is stale", func(t *testing.T) {
		w := newWorld(t, surroundings{})
		ref, id := w.ask()
		w.cloud.Faults().FreezeInventory(true)
		if err := w.cloud.Faults().MoveProject(project, w.cloud.OrganizationID()); err != nil {
			t.Fatal(err)
		}
		w.api(bob, decideURL(ref), dict{}).expect(t, 403, "not below")
		if w.granted(id) != 0 {
			t.Error("granted")
		}
	})
	t.Run("inherited, and where the project is may not be read", func(t *testing.T) {
		w := newWorld(t, surroundings{})
		ref, id := w.ask()
		w.cloud.Faults().RevokePermission("resourcemanager.projects.get")
		w.api(bob, decideURL(ref), dict{}).expect(t, 200, "as of Asset Inventory")
		if w.granted(id) != 1 || !w.logged("api.activateRole", "tree-unconfirmed") {
			t.Errorf("the journal does not say so: %s", w.log.String())
		}
	})
	t.Run("inherited from where the service may not look", func(t *testing.T) {
		w := newWorld(t, surroundings{organization: func(o *google.Organization) {
			o.Policy.Bindings = append(o.Policy.Bindings, google.Binding{Role: "roles/run.admin", Members: []string{"user:" + alice},
				Condition: &google.Condition{Title: "Eligible", Expression: "has({}.jitAccessConstraint)"}})
		}})
		a := w.api(alice, selfURL, selfBody(dict{"entitlementIds": []string{project + ":roles/run.admin"}})).expect(t, 200, "may be minutes old")
		if w.granted(a.Entitlements[0].ActivationID) != 1 || !w.logged("api.activateRole", "inventory-only") {
			t.Errorf("the journal does not say so: %s", w.log.String())
		}
	})
	t.Run("the requester has left everything", func(t *testing.T) {
		w := newWorld(t, surroundings{})
		ref, id := w.ask()
		w.cloud.Faults().RemoveEligibility(alice)
		w.api(bob, decideURL(ref), dict{}).expect(t, 403, "requester-lost")
		if w.granted(id) != 0 {
			t.Error("granted")
		}
	})
	t.Run("the reviewer has left everything", func(t *testing.T) {
		w := newWorld(t, surroundings{})
		ref, id := w.ask()
		w.cloud.Faults().RemoveEligibility(bob)
		w.api(bob, decideURL(ref), dict{}).expect(t, 403, "reviewer-lost")
		if w.granted(id) != 0 {
			t.Error("granted")
		}
	})
}

// TestReorderedPoliciesAreUnderstood: Google may join and sort bindings.
func TestReorderedPoliciesAreUnderstood(t *testing.T) {
	w := newWorld(t, surroundings{})
	w.cloud.Faults().ReorderBindings(true)
	ref, id := w.ask()
	for range 3 {
		w.pass(5 * time.Second)
		w.api(bob, decideURL(ref), dict{}).expect(t, 200, `"ACTIVE"`)
	}
	if n := w.granted(id); n != 1 {
		t.Errorf("%d grants", n)
	}
	w.page(alice, "/access/projects/"+project).expect(t, 200, "Active now")
	w.api(alice, "/api/requests/"+id+"/end", dict{"resource": "projects/" + project}).expect(t, 200, "ENDED")
	w.api(bob, decideURL(ref), dict{}).expect(t, 410)
}
