package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/sandbox/google"
)

// The folder Production, the folder Data in it, and the organization around both.
const (
	folderProduction = "folders/731905264410"
	folderData       = "folders/550038216947"
	folderElsewhere  = "folders/198467720153"
	theOrganization  = "organizations/482093157016"
	folderAPI        = "/api/projects/folders%2F731905264410/"
	organizationAPI  = "/api/projects/organizations%2F482093157016/"
)

// namesFolders is a policy that gives out the folder and the organization themselves.
const namesFolders = `version: 1
rules:
  - {name: all of production, match: {resource: [folders/731905264410]}, terms: {max_duration: 1h}}
  - {name: everything, match: {resource: [organizations/482093157016]}, terms: {max_duration: 30m}}
`

// folders is a world with a ledger and a policy, whose service may write the policies of folders
// and of the organization.
type folders struct {
	*world
	policyFile string
}

func newFolders(t *testing.T, policy string, environment map[string]string) folders {
	t.Helper()
	w := newWorld(t, surroundings{organization: func(o *google.Organization) {
		self := "serviceAccount:" + o.ServiceAccount
		o.Policy.Bindings = append(o.Policy.Bindings, google.Binding{Role: "roles/resourcemanager.folderIamAdmin", Members: []string{self}},
			google.Binding{Role: "roles/resourcemanager.organizationAdmin", Members: []string{self}},
			eligibleBinding("roles/logging.admin", "has({}.jitAccessConstraint)", "alice"))
	}})
	f := folders{w, filepath.Join(t.TempDir(), "policy.yaml")}
	change := onDisk(w, filepath.Join(t.TempDir(), "jitaccess.db"))
	change["POLICY"], change["ADMINS"] = f.policyFile, "user:erin@example.com"
	for name, value := range environment {
		change[name] = value
	}
	f.rule(policy)
	w.tidy(project, "data-warehouse-prod")
	w.restart(change)
	return f
}

// rule writes the policy, which holds from the next restart on.
func (f folders) rule(policy string) {
	f.t.Helper()
	if err := os.WriteFile(f.policyFile, []byte(policy), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

const restarts = "roles/compute.instanceAdmin.v1"

func (f folders) askOnFolder() (ref, id string) {
	f.t.Helper()
	a := f.api(alice, folderAPI+"roles/request", askBody(dict{"entitlementId": folderProduction + ":" + restarts})).expect(f.t, 200)
	return refOf(f.t, a), a.Entitlements[0].ActivationID
}

// Everything that can be done on a project can be done on a folder and an organization that a rule
// names, and it is written there and nowhere else.
func TestEveryActionOnAFolder(t *testing.T) {
	for _, catalog := range []string{"AssetInventory", "PolicyAnalyzer"} {
		t.Run(catalog, func(t *testing.T) {
			everyActionOnAFolder(t, newFolders(t, namesFolders, map[string]string{"RESOURCE_CATALOG": catalog}))
		})
	}
}

func everyActionOnAFolder(t *testing.T, f folders) {
	home := f.page(alice, "/?list").expect(t, 200, "/access/"+folderProduction, ">Production<", ">folder 731905264410<", "/access/"+theOrganization)
	if strings.Contains(home.body, folderData) {
		t.Error("a folder is offered that no rule names")
	}
	f.page(alice, "/access/"+folderProduction).expect(t, 200, "Production (folder 731905264410)", "everything that lies in it", "all of production")

	// Self-activation, on the organization.
	a := f.api(alice, organizationAPI+"roles/self-activate", dict{"entitlementIds": []string{theOrganization + ":roles/logging.admin"},
		"justification": "Turn the sink around", "activationTimeout": 20}).expect(t, 200, `"ACTIVE"`)
	own := a.Entitlements[0].ActivationID
	if f.liveOn(theOrganization, own) != 1 {
		t.Errorf("nothing stands on the organization")
	}
	f.api(alice, "/api/requests/"+own+"/end", dict{"resource": theOrganization}).expect(t, 200, `"ENDED"`)

	// Request and approval.
	f.api(alice, folderAPI+"peers?id="+folderProduction+":"+restarts, nil).expect(t, 200, bob)
	ref, id := f.askOnFolder()
	f.page(bob, reviewPath(ref)).expect(t, 200, "Production (folder 731905264410)")
	f.decide(bob, ref, "approve", "")
	if f.liveOn(folderProduction, id) != 1 || f.granted(id) != 0 {
		t.Fatalf("%d stand on the folder, %d on a project", f.liveOn(folderProduction, id), f.granted(id))
	}
	f.page(alice, "/access/"+folderProduction).expect(t, 200, "/requests/"+id+"/end")
	f.page(alice, reviewPath(ref)).expect(t, 200, "everything that lies in it", "console.cloud.google.com/iam-admin/iam?folder=731905264410",
		"gcloud resource-manager folders get-iam-policy 731905264410")
	if code, report, errs := reconcile(t, f.env(nil), "--resource", folderProduction); code != exitOK || report.Projects != 1 {
		t.Errorf("reconcile: %d, %+v, %s", code, report, errs)
	}

	// Extension.
	more := f.api(alice, "/api/requests/"+id+"/extend", dict{"justification": "Still hangs", "minutes": 15, "peers": []string{bob}}).expect(t, 200)
	f.decide(bob, refOf(t, more), "approve", "").expect(t, 303)
	f.api(alice, "/api/requests/"+more.Entitlements[0].ActivationID, nil).expect(t, 200, folderProduction, `"scheduled"`)

	// End, and verification.
	f.api(bob, "/api/requests/"+id+"/end", dict{"resource": folderProduction}).expect(t, 200, `"ENDED"`)
	f.api(alice, "/api/requests", nil).expect(t, 200, folderProduction)
	f.stop()
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"ledger", "verify"}, f.env(nil), &out, &errs); code != exitOK {
		t.Errorf("verify: %d %s %s", code, out.String(), errs.String())
	}
	if code, report, errs := reconcile(t, f.env(nil)); code != exitOK {
		t.Errorf("reconcile: %d, %s, %s", code, report.kinds(), errs)
	}
}

// A policy that does not name the folder any more: nothing is given out there, what waits is
// refused, and what stands is seen and can be ended.
func TestAFolderThatIsNoLongerNamed(t *testing.T) {
	f := newFolders(t, namesFolders, nil)
	granted, id := f.askOnFolder()
	f.decide(bob, granted, "approve", "")
	waiting, waits := f.askOnFolder()
	f.rule("version: 1\nrules:\n  - {name: everything, match: {resource: [projects/*]}, terms: {max_duration: 1h}}\n")
	f.restart(nil)

	if home := f.page(alice, "/?list").expect(t, 200); strings.Contains(home.body, ">Production<") {
		t.Error("the folder is still offered")
	}
	f.form(bob, reviewPath(waiting), map[string][]string{"verdict": {"approve"}}).expect(t, 403, "itself is not given out")
	f.api(alice, folderAPI+"roles/request", askBody(dict{"entitlementId": folderProduction + ":" + restarts})).expect(t, 403, "not-named")
	if f.liveOn(folderProduction, waits) != 0 {
		t.Error("it was granted")
	}
	// What stands there is no difference, and one that is made by hand is found.
	if code, report, errs := reconcile(t, f.env(nil)); code != exitOK {
		t.Errorf("reconcile: %d, %+v, %s", code, report, errs)
	}
	f.bind(folderProduction, func(all []google.Binding) []google.Binding {
		return append(all, boundBy1x("roles/logging.viewer", "Self-approved, justification: x [jit-AAAAAAAAAAAAAAAA]", "", f.now().Add(-time.Minute),
			f.now().Add(time.Hour), "carol"))
	})
	if code, report, errs := reconcile(t, f.env(nil)); code != exitFailure || !strings.Contains(report.kinds(), "not-remembered") ||
		report.Differences[0].Project != folderProduction {
		t.Errorf("reconcile: %d, %+v, %s", code, report, errs)
	}
	f.api(alice, "/api/requests/"+id+"/end", dict{"resource": folderProduction}).expect(t, 200, `"ENDED"`)
	if f.liveOn(folderProduction, id) != 0 {
		t.Error("it stands")
	}
}

// What a policy names in vain is said, and hides nothing else.
func TestWhatIsNamedInVain(t *testing.T) {
	const others = "/access/projects/" + project
	names := func(all ...string) string {
		return "version: 1\nrules:\n  - {name: some, match: {resource: [" + strings.Join(all, ", ") + "]}, terms: {max_duration: 1h}}\n"
	}
	for _, c := range []struct {
		name, policy string
		environment  map[string]string
		breaks       func(f folders)
		says         string
		offered      string
	}{
		{"there is none of that number", names(folderProduction, "folders/4711"), nil, nil,
			"gives out folders/4711, which is not here, or which this service may not see", folderProduction},
		{"outside the scope", names(folderData, folderElsewhere), map[string]string{"RESOURCE_SCOPE": folderProduction}, nil,
			"gives out " + folderElsewhere + ", which does not lie in " + folderProduction, folderData},
		{"an organization around the scope", names(folderProduction, theOrganization), map[string]string{"RESOURCE_SCOPE": folderProduction}, nil,
			"gives out " + theOrganization + ", which does not lie in " + folderProduction, folderProduction},
		{"the scope is a project", names(folderProduction), map[string]string{"RESOURCE_SCOPE": "projects/" + project}, nil,
			"gives out " + folderProduction + ", which does not lie in projects/", ""},
		{"an account that sees no folders", names(folderProduction, theOrganization), nil,
			func(f folders) { f.cloud.Faults().RevokePermission("resourcemanager.folders.get") },
			"gives out " + folderProduction + ", which is not here, or", theOrganization},
		{"an account that sees no organization", names(folderProduction, theOrganization), nil,
			func(f folders) { f.cloud.Faults().RevokePermission("resourcemanager.organizations.get") },
			"gives out " + theOrganization + ", which is not here, or", folderProduction},
		{"deleted", names(folderProduction, folderData), nil, func(f folders) { f.cloud.Faults().DeleteFolder("550038216947") },
			"gives out " + folderData + ", which is being deleted", folderProduction},
		{"moved out of the scope", names(folderProduction, folderData), map[string]string{"RESOURCE_SCOPE": folderProduction},
			func(f folders) { f.cloud.Faults().MoveFolder("550038216947", folderElsewhere) },
			"gives out " + folderData + ", which ", folderProduction},
		{"the search is out of order", names(folderProduction, theOrganization), nil,
			func(f folders) {
				f.cloud.Faults().Add(google.Fault{Method: "GET", Path: "/v3/folders:search", Status: 500})
			}, "", theOrganization},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFolders(t, c.policy, c.environment)
			if c.breaks != nil {
				c.breaks(f)
			}
			home := f.page(alice, "/?list").expect(t, 200, others, c.says)
			if c.offered != "" && !strings.Contains(home.body, "/access/"+c.offered) {
				t.Errorf("%s is not offered", c.offered)
			}
			if got := strings.Count(home.body, `<li><a href="/access/folders/`) + strings.Count(home.body, `<li><a href="/access/organizations/`); got != min(1, len(c.offered)) {
				t.Errorf("%d are offered", got)
			}
			f.api(alice, "/api/projects", nil).expect(t, 200, project)
		})
	}
}

// Where a folder has gone, or an account may not write there, nothing is granted, and it is said what
// is missing.
func TestAFolderThatCannotBeGranted(t *testing.T) {
	for _, c := range []struct {
		name   string
		breaks func(f folders)
		status int
		says   string
	}{
		{"it may not be written", func(f folders) { f.cloud.Faults().RevokePermission("resourcemanager.folders.setIamPolicy") }, 200,
			"not permitted to do that on folders/731905264410"},
		{"it may not be read", func(f folders) { f.cloud.Faults().RevokePermission("resourcemanager.folders.getIamPolicy") }, 502,
			"resourcemanager.folders.getIamPolicy"},
		{"it was moved to where nobody is in the scope", func(f folders) {
			f.restart(map[string]string{"RESOURCE_SCOPE": folderElsewhere})
		}, 404, "unknown-resource"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFolders(t, namesFolders, nil)
			ref, id := f.askOnFolder()
			c.breaks(f)
			f.api(bob, decideURL(ref), dict{}).expect(t, c.status, c.says)
			if f.liveOn(folderProduction, id) != 0 {
				t.Error("it was granted")
			}
		})
	}
}

// A folder that has left the scope since somebody asked for it is not given out, and nor is what the
// eligibility no longer reaches.
func TestAFolderThatHasMovedSinceItWasAskedFor(t *testing.T) {
	names := strings.ReplaceAll(namesFolders, folderProduction, folderData)
	for name, environment := range map[string]map[string]string{"out of the scope": {"RESOURCE_SCOPE": folderProduction}, "within it": nil,
		"out of the scope, by Policy Analyzer": {"RESOURCE_SCOPE": folderProduction, "RESOURCE_CATALOG": "PolicyAnalyzer"}} {
		t.Run(name, func(t *testing.T) {
			f := newFolders(t, names, environment)
			a := f.api(alice, strings.Replace(folderAPI, "731905264410", "550038216947", 1)+"roles/request",
				askBody(dict{"entitlementId": folderData + ":" + restarts})).expect(t, 200)
			ref, id := refOf(t, a), a.Entitlements[0].ActivationID
			if err := f.cloud.Faults().MoveFolder("550038216947", folderElsewhere); err != nil {
				t.Fatal(err)
			}
			if a := f.api(bob, decideURL(ref), dict{}); a.status < 400 || f.liveOn(folderData, id) != 0 {
				t.Errorf("%d, %d stand there: %.400s", a.status, f.liveOn(folderData, id), a.body)
			}
		})
	}
}

// A folder is named by its number, by whatever address it comes.
func TestAFolderIsNamedByItsNumber(t *testing.T) {
	f := newFolders(t, namesFolders, nil)
	for _, path := range []string{"/access/folders/production", "/access/folders/", "/access/folders/1/projects/x", "/access/organizations/example.com",
		"/access/folders/../projects/" + project} {
		if a := f.page(alice, path); a.status != 400 && a.status != 404 && a.status != 301 {
			t.Errorf("%s: %d %.200s", path, a.status, a.body)
		}
	}
	f.page(alice, "/access/folders/production").expect(t, 400, "folders/123456789012")
	f.page(alice, "/access/folders/4711").expect(t, 404, "There is no folders/4711 here")
	f.api(alice, "/api/projects/folders%2Fproduction/roles", nil).expect(t, 400, "bad-resource")
	f.page(alice, "/access/"+folderData).expect(t, 200, "itself is not given out") // it is there, and no rule names it
	var out, errs bytes.Buffer
	for _, command := range []string{"eligible", "reconcile"} {
		for args, want := range map[string]string{"--resource folders/production": "folders/NUMBER", "--resource x": "KIND/NAME",
			"--resource folders/1 --project p-1": "give one of them"} {
			errs.Reset()
			if code := run(context.Background(), append([]string{command}, strings.Fields(args)...), f.env(nil), &out, &errs); code != exitUsage ||
				!strings.Contains(errs.String(), want) {
				t.Errorf("%s %s: %d %s", command, args, code, errs.String())
			}
		}
	}
}

// The listing has the folders that are named, as the service offers them.
func TestEligibleOnFolders(t *testing.T) {
	f := newFolders(t, namesFolders, nil)
	for args, want := range map[string]string{
		"--person alice@example.com": `"project":"folders/731905264410"`, "--resource folders/731905264410": folderProduction + ":" + restarts,
		"--resource organizations/482093157016 --format csv": "alice@example.com,organizations/482093157016,roles/logging.admin",
	} {
		var out, errs bytes.Buffer
		code := run(context.Background(), append([]string{"eligible"}, strings.Fields(args)...), f.env(nil), &out, &errs)
		if code != exitOK || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %d, %s\n%.2000s", args, code, errs.String(), out.String())
		}
		if regexp.MustCompile(`"project":"folders/(198467720153|550038216947)"`).MatchString(out.String()) {
			t.Errorf("%s: a folder that no rule names", args)
		}
	}
	f.rule("version: 2")
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"eligible", "--project", project}, f.env(nil), &out, &errs); code != exitFailure ||
		!strings.Contains(errs.String(), "folders and organizations are left out") || !strings.Contains(out.String(), project) {
		t.Errorf("without a policy: %d %s %.300s", code, errs.String(), out.String())
	}
}
