package roles_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/roles"
)

var (
	update = flag.Bool("update", false, "write the classification of permissions and roles anew")
	// predefined is how the lists of permissions and roles get newer.
	predefined = flag.String("predefined", "", "a JSON object of all predefined roles, each with its permissions, to take into testdata")
)

const (
	permissionsFile = "testdata/permissions.txt"
	rolesFile       = "testdata/roles.txt"
)

// known are permissions that change permissions, each with how.
var known = map[string]string{
	"iam.denypolicies.update":                                                "takes a denial away",
	"iam.denypolicies.create":                                                "denies it to others",
	"iam.denypolicies.delete":                                                "takes a denial away",
	"iam.accesspolicies.update":                                              "widens what a principal access boundary lets through",
	"iam.principalaccessboundarypolicies.bind":                               "decides for whom a boundary holds",
	"iam.roles.create":                                                       "makes a role of any permission",
	"iam.roles.update":                                                       "adds a permission to what people hold already",
	"iam.roles.undelete":                                                     "gives back what a role gave",
	"iam.serviceAccounts.actAs":                                              "runs code as the account",
	"iam.serviceAccounts.getAccessToken":                                     "is the account",
	"iam.serviceAccounts.getOpenIdToken":                                     "is the account, for others",
	"iam.serviceAccounts.signJwt":                                            "is the account",
	"iam.serviceAccounts.signBlob":                                           "is the account",
	"iam.serviceAccounts.implicitDelegation":                                 "is the account, by way of another",
	"iam.serviceAccounts.setIamPolicy":                                       "says who may be the account",
	"iam.serviceAccounts.enable":                                             "gives an account back what it had",
	"iam.serviceAccountKeys.create":                                          "is the account for years",
	"iam.serviceAccountKeys.upload":                                          "is the account for years",
	"iam.serviceAccountKeys.enable":                                          "gives a key back",
	"iam.googleapis.com/workloadIdentityPoolProviders.create":                "lets an issuer of one's own sign people in",
	"iam.googleapis.com/workloadIdentityPoolProviders.update":                "maps whom one likes",
	"iam.googleapis.com/workloadIdentityPoolProviderKeys.create":             "adds a key that signs people in",
	"iam.googleapis.com/workforcePoolProviders.create":                       "lets an issuer of one's own sign people in",
	"iam.googleapis.com/workforcePoolProviders.update":                       "maps whom one likes",
	"iam.googleapis.com/workforcePools.update":                               "changes how people sign in",
	"iam.googleapis.com/oauthClientCredentials.create":                       "adds a secret of an application",
	"privilegedaccessmanager.entitlements.create":                            "says who may get what",
	"privilegedaccessmanager.entitlements.update":                            "says who may get what",
	"privilegedaccessmanager.entitlements.setIamPolicy":                      "says who may say so",
	"privilegedaccessmanager.grants.approve":                                 "grants",
	"privilegedaccessmanager.grants.revoke":                                  "takes away",
	"deploymentmanager.deployments.create":                                   "runs templates as the APIs' service account, an editor",
	"deploymentmanager.deployments.update":                                   "likewise",
	"deploymentmanager.typeProviders.create":                                 "likewise, with calls of one's own",
	"config.deployments.create":                                              "runs Terraform under a service account",
	"krmapihosting.krmApiHosts.create":                                       "makes resources, policies too, under a service account",
	"cloudbuild.builds.create":                                               "runs code as Cloud Build's service account",
	"cloudbuild.builds.update":                                               "changes triggers, which do",
	"run.jobs.runWithOverrides":                                              "runs other arguments under the job's account",
	"cloudfunctions.functions.sourceCodeSet":                                 "runs code under the function's account",
	"dataproc.jobs.create":                                                   "runs code under the cluster's account",
	"osconfig.osPolicyAssignments.create":                                    "runs scripts as root on machines, and so as their accounts",
	"osconfig.osPolicyAssignments.update":                                    "likewise",
	"osconfig.guestPolicies.create":                                          "likewise",
	"osconfig.guestPolicies.update":                                          "likewise",
	"osconfig.policyOrchestrators.create":                                    "likewise, in a whole organization",
	"osconfig.policyOrchestrators.update":                                    "likewise",
	"osconfig.patchDeployments.create":                                       "runs scripts before and after patching",
	"osconfig.patchDeployments.update":                                       "likewise",
	"osconfig.patchJobs.exec":                                                "likewise",
	"aiplatform.hyperparameterTuningJobs.create":                             "runs code as a service agent",
	"composer.environments.executeAirflowCommand":                            "runs commands under the environment's account",
	"compute.instances.setMetadata":                                          "adds an SSH key",
	"compute.projects.setCommonInstanceMetadata":                             "adds an SSH key to all machines",
	"compute.instances.setServiceAccount":                                    "changes under whom a machine runs",
	"compute.instances.setIamPolicy":                                         "grants",
	"compute.instances.createTagBinding":                                     "fulfils conditions on tags",
	"storage.buckets.setIamPolicy":                                           "grants",
	"storage.objects.setIamPolicy":                                           "grants",
	"storage.hmacKeys.create":                                                "is the account for years",
	"resourcemanager.projects.setIamPolicy":                                  "grants",
	"resourcemanager.folders.setIamPolicy":                                   "grants",
	"resourcemanager.organizations.setIamPolicy":                             "grants",
	"resourcemanager.projects.move":                                          "inherits from another folder",
	"resourcemanager.folders.move":                                           "inherits from another folder",
	"resourcemanager.projects.create":                                        "owns what it creates",
	"resourcemanager.hierarchyNodes.createTagBinding":                        "fulfils conditions on tags",
	"resourcemanager.hierarchyNodes.deleteTagBinding":                        "escapes conditions on tags",
	"resourcemanager.tagValueBindings.create":                                "fulfils conditions on tags",
	"resourcemanager.tagValues.create":                                       "changes what conditions on tags mean",
	"resourcemanager.projects.createPolicyBinding":                           "decides for whom a boundary holds",
	"orgpolicy.policy.set":                                                   "lifts what is forbidden, such as members of other domains",
	"orgpolicy.policies.create":                                              "likewise",
	"orgpolicy.customConstraints.delete":                                     "likewise",
	"accesscontextmanager.policies.setIamPolicy":                             "grants",
	"accesscontextmanager.accessLevels.update":                               "says from where people may come",
	"accesscontextmanager.servicePerimeters.update":                          "opens a perimeter",
	"accesscontextmanager.gcpUserAccessBindings.delete":                      "says from where people may come",
	"accessapproval.requests.approve":                                        "lets Google's staff in",
	"container.clusterRoleBindings.create":                                   "grants in the cluster",
	"container.clusterRoleBindings.update":                                   "grants in the cluster",
	"container.roleBindings.create":                                          "grants in a namespace",
	"container.clusterRoles.bind":                                            "grants more than it has",
	"container.clusterRoles.escalate":                                        "makes a role of more than it has",
	"container.roles.escalate":                                               "likewise",
	"container.clusters.impersonate":                                         "is somebody else",
	"container.serviceAccounts.createToken":                                  "is a workload",
	"container.secrets.list":                                                 "reads tokens of workloads",
	"container.pods.exec":                                                    "is a workload",
	"container.deployments.create":                                           "runs as any workload of the namespace",
	"container.certificateSigningRequests.approve":                           "makes a certificate for whom one likes",
	"container.mutatingWebhookConfigurations.update":                         "changes what others apply",
	"gkehub.rbacrolebindings.create":                                         "grants in clusters of the fleet",
	"gkemulticloud.awsClusters.getAdminKubeconfig":                           "is the cluster's administrator",
	"iap.web.setIamPolicy":                                                   "grants",
	"iap.webServices.updateSettings":                                         "changes how people sign in, to this service too",
	"apikeys.keys.create":                                                    "makes a credential",
	"apikeys.keys.getKeyString":                                              "reads a credential",
	"serviceusage.apiKeys.create":                                            "makes a credential",
	"clientauthconfig.clients.createSecret":                                  "makes a credential",
	"clientauthconfig.clients.getWithSecret":                                 "reads a credential",
	"cloudsql.users.update":                                                  "sets somebody's password",
	"cloudsql.sslCerts.create":                                               "makes a credential",
	"alloydb.users.create":                                                   "makes somebody who may log in",
	"spanner.databases.updateDdl":                                            "grants roles of the database",
	"bigquery.datasets.update":                                               "changes the dataset's access list",
	"bigquery.rowAccessPolicies.update":                                      "says who sees which rows",
	"bigquery.connections.delegate":                                          "uses the connection's account",
	"firebaserules.releases.update":                                          "says who reads what",
	"firebaseauth.users.update":                                              "sets somebody's password",
	"identitytoolkit.tenants.update":                                         "changes how people sign in",
	"managedidentities.domains.resetpassword":                                "is the domain's administrator",
	"privateca.certificates.create":                                          "makes a certificate for whom one likes",
	"redis.aclPolicies.update":                                               "says who may do what",
	"vmwareengine.privateClouds.showNsxCredentials":                          "reads a credential",
	"securitycentermanagement.securityCommandCenter.generateServiceAccounts": "makes service accounts",
	"newservice.things.create":                                               "nobody knows what a new service is for",
	"newservice.things.frobnicate":                                           "likewise",
	"compute.instances.frobnicate":                                           "nobody knows what a new verb does",
	"nonsense":                                                               "is no permission that anybody knows",
}

// What reads, and what a service is for, changes no permission.
var ordinary = strings.Fields(`compute.instances.get compute.instances.create compute.instances.start compute.disks.delete storage.objects.create
storage.objects.get storage.buckets.getIamPolicy iam.serviceAccounts.get iam.serviceAccounts.list iam.serviceAccountKeys.list iam.roles.get
resourcemanager.projects.get resourcemanager.projects.getIamPolicy resourcemanager.projects.update orgpolicy.policy.get bigquery.jobs.create
bigquery.tables.updateData pubsub.topics.publish logging.logEntries.list monitoring.timeSeries.create run.jobs.run run.services.update
container.pods.list container.clusters.get secretmanager.versions.access cloudsql.instances.connect newservice.things.list
iam.denypolicies.list privilegedaccessmanager.grants.list deploymentmanager.deployments.get`)

func TestThreat20_EveryKindOfPermissionThatChangesPermissionsIsMarked(t *testing.T) {
	if len(known) < 60 {
		t.Errorf("%d known permissions", len(known))
	}
	for p, how := range known {
		if !roles.Changes(p) {
			t.Errorf("%s is not marked; who has it %s", p, how)
		}
		if got := roles.ChangesPermissions([]string{"compute.disks.get", p}); got != access.Yes {
			t.Errorf("a role with %s: %v", p, got)
		}
	}
	for _, p := range ordinary {
		if roles.Changes(p) {
			t.Errorf("%s is marked", p)
		}
	}
	if got := roles.ChangesPermissions(ordinary); got != access.No {
		t.Errorf("a role of ordinary permissions: %v", got)
	}
	if got := roles.ChangesPermissions(nil); got != access.Unknown {
		t.Errorf("a role of no permissions: %v", got)
	}
}

// TestPermissionsAreClassified: the file has a line for each resource of each service,
// with its verbs; those behind "!" change permissions. What is there is what the rule
// says today.
func TestPermissionsAreClassified(t *testing.T) {
	classified(t, permissionsFile, func(line string) string {
		prefix, verbs, _ := strings.Cut(line, ": ")
		return permissionLine(prefix, strings.Fields(strings.ReplaceAll(verbs, "!", "")))
	}, func(all map[string][]string) (lines []string) {
		of := map[string]map[string]bool{}
		for p := range distinct(all) {
			at := strings.LastIndexByte(p, '.')
			if of[p[:at]] == nil {
				of[p[:at]] = map[string]bool{}
			}
			of[p[:at]][p[at+1:]] = true
		}
		for prefix, verbs := range of {
			lines = append(lines, permissionLine(prefix, slices.Sorted(maps.Keys(verbs))))
		}
		return lines
	})
}

func permissionLine(prefix string, verbs []string) string {
	var marked []string
	for _, v := range verbs {
		if roles.Changes(prefix + "." + v) {
			v = "!" + v
		}
		marked = append(marked, v)
	}
	return prefix + ": " + strings.Join(marked, " ")
}

// TestPredefinedRolesAreClassified: the file has a line for each of Google's predefined
// roles, with the answer and what it rests on: some of its permissions that change
// permissions, or, where there are none, all that do not only read.
func TestPredefinedRolesAreClassified(t *testing.T) {
	counts := map[string]int{}
	classified(t, rolesFile, func(line string) string {
		role, rest, _ := strings.Cut(line, " ")
		l := roleLine(role, strings.Fields(rest)[1:])
		counts[strings.Fields(l)[1]]++
		return l
	}, func(all map[string][]string) (lines []string) {
		for role, permissions := range all {
			// Those are for Google's own agents and never for people.
			if !strings.Contains(strings.ToLower(role), "serviceagent") {
				lines = append(lines, roleLine(role, permissions))
			}
		}
		return lines
	})
	if counts["yes"] < 500 || counts["no"] < 1000 {
		t.Errorf("too few roles: %v", counts)
	}
	t.Logf("predefined roles that change permissions: %v", counts)
}

// enough permissions show why a role is marked.
const enough = 3

func roleLine(role string, permissions []string) string {
	var why []string
	answer := map[access.Answer]string{access.Yes: "yes", access.No: "no", access.Unknown: "unknown"}[roles.ChangesPermissions(permissions)]
	for _, p := range permissions {
		verb := p[strings.LastIndexByte(p, '.')+1:]
		reads := strings.HasPrefix(verb, "get") || strings.HasPrefix(verb, "list") || verb == "search"
		if answer == "no" && (!reads || p == permissions[0]) || answer == "yes" && len(why) < enough && roles.Changes(p) {
			why = append(why, p)
		}
	}
	return strings.Join(append([]string{role, answer}, why...), " ")
}

func distinct(all map[string][]string) map[string]bool {
	d := map[string]bool{}
	for _, permissions := range all {
		for _, p := range permissions {
			d[p] = true
		}
	}
	return d
}

// classified compares a file of lines with what becomes of each. With -predefined the
// lines are new ones.
func classified(t *testing.T, file string, again func(line string) string, anew func(map[string][]string) []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if *predefined != "" {
		var all map[string][]string
		source, err := os.ReadFile(*predefined)
		if err == nil {
			err = json.Unmarshal(source, &all)
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := anew(all)
		slices.Sort(lines)
		text = []byte(strings.Join(lines, "\n") + "\n")
	} else if err != nil {
		t.Fatal(err)
	}
	var now strings.Builder
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		l := again(line)
		fmt.Fprintln(&now, l)
		if l != line && !*update {
			t.Errorf("%.120s\nis now\n%.120s", line, l)
		}
	}
	if *update || *predefined != "" {
		if err := os.WriteFile(file, []byte(now.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
