package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"jitaccess/internal/access"
	"jitaccess/internal/config"
	"jitaccess/internal/doctor"
	"jitaccess/internal/gcp/parametermanager"
	"jitaccess/internal/gcp/provider"
	"jitaccess/internal/mail/smtptest"
	"jitaccess/internal/sandbox/google"
)

func revoke(permissions ...string) func(*google.Faults) {
	return func(f *google.Faults) {
		for _, p := range permissions {
			f.RevokePermission(p)
		}
	}
}

func fail(fault google.Fault) func(*google.Faults) {
	return func(f *google.Faults) { f.Add(fault) }
}

const disabled = "API has not been used in project 264853019977 before or it is disabled. Enable it by visiting https://console.developers.google.com/ then retry."

const onOrganization = "gcloud organizations add-iam-policy-binding " + org + " --member " + member + " --role "

const tokenCreator = "run: gcloud iam service-accounts add-iam-policy-binding " + account + " --member " + member +
	" --role roles/iam.serviceAccountTokenCreator --project example-jitaccess"

// policyAt lets POLICY name a version, which is read as the service reads it.
func policyAt(version string) func(*doctor.Config) {
	return func(c *doctor.Config) {
		c.Settings.Requests.Policy.Version = version
		secret := c.Secret
		c.PolicyFile = func(ctx context.Context) (err error) {
			if _, _, ok := strings.Cut(version, "/parameters/"); ok {
				_, err = parametermanager.Get(ctx, c.Platform, version)
			} else {
				_, err = secret(ctx, version)
			}
			return err
		}
	}
}

// naming has the policy file give out folders and organizations themselves.
func naming(all ...access.Resource) func(*doctor.Config) {
	return func(c *doctor.Config) {
		named, err := provider.New(provider.Config{Platform: c.Platform, Scope: string(c.Scope), CustomerID: "C01sandbx", Now: time.Now,
			Sleep: func(context.Context, time.Duration) error { return nil }})
		if err != nil {
			panic(err)
		}
		c.Named = named.Naming(func() []access.Resource { return all }).NamedInVain
	}
}

// mayWriteFolders lets the service write the policies of all folders and of the organization.
func mayWriteFolders(o *google.Organization) {
	for _, role := range []string{"roles/resourcemanager.folderIamAdmin", "roles/resourcemanager.organizationAdmin"} {
		o.Policy.Bindings = append(o.Policy.Bindings, google.Binding{Role: role, Members: []string{member}})
	}
}

// canary is the mail password, which must never be shown.
const canary = "canary-4711"

// analyzer are the settings for Policy Analyzer, and analyze the path of its call.
var analyzer = map[string]string{"RESOURCE_CATALOG": "PolicyAnalyzer"}

const analyze = "/v1/organizations/{id}:analyzeIamPolicy"

const eligibleCondition = "has({}.jitAccessConstraint)"

// behindPomerium is a service behind another front than Identity-Aware Proxy.
func behindPomerium(keys error, ahead time.Duration) func(*doctor.Config) {
	return func(c *doctor.Config) {
		c.Settings.Identity.Profile, c.Identity.Method = config.Pomerium, "pomerium"
		c.IdentityKeys = func(context.Context) error { return keys }
		c.IdentityClock = func(context.Context) (time.Duration, bool) { return ahead, true }
	}
}

// TestEveryFaultIsFound (point 12) switches one fault on after the other. Every line that is
// not ok must be expected, in order, by all the parts that its entry separates by
// an ellipsis.
func TestEveryFaultIsFound(t *testing.T) {
	for _, test := range []struct {
		fault string
		world world
		want  []string
	}{
		{"none", world{}, nil},

		{"a setting to remark on", world{settings: map[string]string{"IAP_VERIFY_AUDIENCE": "false"}}, []string{
			"warning  settings: IAP_VERIFY_AUDIENCE is false", "warning  audience: …set IAP_AUDIENCE instead"}},
		{"an audience that cannot be derived", world{change: func(c *doctor.Config) { c.IdentityFault = errors.New("it cannot be derived") }}, []string{
			"broken   audience: nobody can be identified: it cannot be derived; set IAP_AUDIENCE"}},

		{"a domain of one's own without PUBLIC_URL", world{settings: map[string]string{"PUBLIC_URL": "", "IAP_BACKEND_SERVICE_ID": "123"}}, []string{
			"warning  settings: IAP_BACKEND_SERVICE_ID is set and PUBLIC_URL is not",
			"broken   public address: PUBLIC_URL is not set…run: gcloud run services update jitaccess --region europe-west1 --update-env-vars PUBLIC_URL=https://YOUR-HOST --project example-jitaccess"}},
		{"a domain of one's own without PUBLIC_URL, on App Engine", world{settings: map[string]string{"PUBLIC_URL": "", "K_SERVICE": "", "GAE_SERVICE": "default"},
			organization: func(o *google.Organization) { o.AppDomains, o.RunServices = []string{"access.example.com"}, nil }}, []string{
			"broken   public address: …the domain access.example.com…set PUBLIC_URL=https://access.example.com under env_variables in app.yaml"}},
		{"no domain of one's own, on App Engine", world{settings: map[string]string{"PUBLIC_URL": "", "K_SERVICE": "", "GAE_SERVICE": "default"},
			organization: func(o *google.Organization) { o.RunServices = nil }}, nil},
		{"another service than the default one, on App Engine", world{settings: map[string]string{"PUBLIC_URL": "", "K_SERVICE": "", "GAE_SERVICE": "jit"},
			organization: func(o *google.Organization) { o.RunServices = nil }}, nil},
		{"a host that the service would not take for its own", world{settings: map[string]string{"PUBLIC_URL": "", "K_SERVICE": "", "GAE_SERVICE": strings.Repeat("a", 60)},
			organization: func(o *google.Organization) { o.RunServices = nil }}, []string{"broken   public address: PUBLIC_URL is not set, and no address is certainly ours here; set PUBLIC_URL=https://YOUR-HOST"}},
		{"no address on another platform", world{settings: map[string]string{"PUBLIC_URL": "", "K_SERVICE": "", "IAP_AUDIENCE": "/projects/1/apps/x"},
			organization: func(o *google.Organization) { o.RunServices = nil }}, []string{"broken   public address: PUBLIC_URL is not set, and no address is certainly ours here; set PUBLIC_URL=https://YOUR-HOST"}},
		{"an address that does not answer", world{settings: map[string]string{"PUBLIC_URL": "http://127.0.0.1:1"}}, []string{
			"warning  public address: links begin with http://127.0.0.1:1, which does not answer"}},
		{"an address around IAP", world{around: true}, []string{"warning  public address: …answers 200, and not through IAP"}},

		{"another front", world{change: behindPomerium(nil, 29*time.Second)}, nil},
		{"its keys out of reach", world{change: behindPomerium(errors.New("connection refused"), 0)}, []string{
			"broken   keys: nobody can be identified: the keys of pomerium cannot be had: connection refused; let the service reach them"}},
		{"its clock", world{change: behindPomerium(nil, -31*time.Second)}, []string{"warning  clock: the clock here is -31s ahead of that of the key server of pomerium"}},
		{"what it needs is not there", world{change: func(c *doctor.Config) {
			behindPomerium(nil, 0)(c)
			c.IdentityFault = errors.New("no host")
		}}, []string{"broken   audience: nobody can be identified: no host; docs/identity.md"}},
		{"IAP's keys out of reach", world{faults: fail(google.Fault{Path: "/iap/verify/public_key-jwk", Status: 503})}, []string{
			"broken   keys: the public keys of IAP cannot be had…https://www.gstatic.com"}},
		{"an account that is gone", world{faults: fail(google.Fault{Path: "/service_accounts/v1/metadata/jwk/", Status: 404})}, []string{
			"broken   keys: the public keys of the service account cannot be had…it is reached…whether " + account + " still exists",
			"broken   signing: a token that was just signed does not verify"}},
		{"the account's keys out of reach", world{faults: fail(google.Fault{Path: "/service_accounts/v1/metadata/jwk/", Status: 500})}, []string{
			"broken   keys: the public keys of the service account cannot be had…https://www.googleapis.com",
			"broken   signing: a token that was just signed does not verify"}},
		{"no right to sign", world{faults: revoke("iam.serviceAccounts.signJwt")}, []string{
			"broken   signing: no link can be signed…403…" + tokenCreator}},
		{"the signing API is off", world{faults: fail(google.Fault{Path: "/v1/projects/-/serviceAccounts/{account}:signJwt", Status: 403, Message: "IAM Service Account Credentials " + disabled})}, []string{
			"broken   signing: …run: gcloud services enable iamcredentials.googleapis.com --project example-jitaccess"}},

		{"the search for projects fails", world{faults: fail(google.Fault{Path: "/v3/projects:search", Status: 403})}, []string{
			"broken   projects: projects cannot be searched…run: " + onOrganization + "roles/browser --condition None",
			"unseen   eligibility: not looked up"}},
		{"no project to choose from", world{settings: map[string]string{"AVAILABLE_PROJECTS_QUERY": "labels.env:none"}}, []string{
			`warning  projects: no project that the service account may see matches "labels.env:none"…roles/browser`, "unseen   eligibility: not looked up"}},

		{"a query that Google does not understand", world{settings: map[string]string{"AVAILABLE_PROJECTS_QUERY": "parent:folders/731905264410 AND"},
			faults: fail(google.Fault{Path: "/v3/projects:search", Status: 400, Message: "Invalid query string."})}, []string{
			`broken   projects: projects cannot be searched: …Invalid query string…run: gcloud run services update jitaccess --region europe-west1 --update-env-vars AVAILABLE_PROJECTS_QUERY=QUERY --project example-jitaccess; https://…projects/search`,
			"unseen   eligibility: not looked up"}},
		{"no right to use Asset Inventory", world{faults: revoke("cloudasset.assets.analyzeIamPolicy")}, []string{
			"broken   scope: the service account lacks cloudasset.assets.analyzeIamPolicy on organizations/" + org + "; run: " + onOrganization + "roles/cloudasset.viewer --condition None",
			"broken   eligibility: who is eligible on projects/data-warehouse-prod cannot be looked up…roles/cloudasset.viewer"}},
		{"the inventory's API is off", world{faults: fail(google.Fault{Path: "/v1/organizations/{id}/effectiveIamPolicies:batchGet", Status: 403, Message: "Cloud Asset " + disabled})}, []string{
			"broken   eligibility: …run: gcloud services enable cloudasset.googleapis.com --project example-jitaccess"}},
		{"the inventory refuses the scope", world{faults: fail(google.Fault{Path: "/v1/organizations/{id}/effectiveIamPolicies:batchGet", Status: 400, Message: "Request contains an invalid argument."})}, []string{
			"broken   eligibility: …400…; set RESOURCE_SCOPE to an organization, folder or project that exists"}},
		{"the inventory is busy", world{faults: fail(google.Fault{Path: "/v1/organizations/{id}/effectiveIamPolicies:batchGet", Status: 429})}, []string{
			"broken   eligibility: …429…try again in a minute"}},
		{"VPC Service Controls refuse", world{faults: fail(google.Fault{Path: "/v1/organizations/{id}/effectiveIamPolicies:batchGet", Status: 403,
			Message: "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: abc-123"})}, []string{
			"broken   eligibility: …VPC Service Controls perimeter; its log has the violation under abc-123"}},
		{"Policy Analyzer", world{settings: analyzer}, nil},
		{"its free queries are used up", world{settings: analyzer, faults: fail(google.Fault{Path: analyze, Status: 429})}, []string{
			"broken   analysis: …429…20 times a day…; activate Security Command Center Premium or Enterprise for the organization, or set RESOURCE_CATALOG=AssetInventory"}},
		{"no right to analyze", world{settings: analyzer, faults: fail(google.Fault{Path: analyze, Status: 403})}, []string{
			"broken   analysis: Policy Analyzer cannot be asked about organizations/" + org + ": …403…run: " + onOrganization + "roles/cloudasset.viewer --condition None"}},
		{"the analyzer's API is off", world{settings: analyzer, faults: fail(google.Fault{Path: analyze, Status: 403, Message: "Cloud Asset " + disabled})}, []string{
			"broken   analysis: …run: gcloud services enable cloudasset.googleapis.com --project example-jitaccess"}},
		{"a scope that the analyzer refuses", world{settings: analyzer, faults: fail(google.Fault{Path: analyze, Status: 400, Message: "not within"})}, []string{
			"broken   analysis: …not within…; set RESOURCE_SCOPE to "}},
		{"an analyzer that may not look into groups", world{settings: analyzer, faults: revoke("Groups Reader")}, []string{
			"warning  analysis: a part of organizations/" + org + " cannot be analyzed: Permission denied on listing the members of group",
			"broken   groups: "}},
		{"another catalog asks no analyzer", world{faults: fail(google.Fault{Path: analyze, Status: 403})}, nil},

		{"projects outside the scope", world{settings: map[string]string{"RESOURCE_SCOPE": "folders/198467720153"}, organization: func(o *google.Organization) {
			for _, id := range []string{"shop-frontend-dev", "shop-orders-dev", "shop-payments-dev"} {
				project(o, id).Deleted = true
			}
		}}, []string{"broken   eligibility: none of the projects tried (9) lies in folders/198467720153…RESOURCE_SCOPE"}},
		{"a binding that nobody can read", world{organization: func(o *google.Organization) {
			p := project(o, "shop-build")
			p.Policy.Bindings = append(p.Policy.Bindings, google.Binding{Role: "roles/pubsub.editor", Members: []string{"user:bob@example.com"},
				Condition: &google.Condition{Title: "x", Expression: eligibleCondition + ` && resource.name == "`}})
		}}, []string{"warning  eligibility: a binding of roles/pubsub.editor on projects/shop-build cannot be understood…correct its condition"}},
		{"a marker with a slip", world{organization: func(o *google.Organization) {
			p := project(o, "shop-build")
			p.Policy.Bindings = append(p.Policy.Bindings, google.Binding{Role: "roles/pubsub.editor", Members: []string{"user:bob@example.com"},
				Condition: &google.Condition{Title: "x", Expression: "has({}.jitAccessContraint)"}})
		}}, []string{"warning  eligibility: a binding of roles/pubsub.editor on projects/shop-build…“jitAccessContraint”…“has({}.jitAccessConstraint)” was probably meant. Correct the condition"}},
		{"a member who signs in nowhere, above several projects", world{organization: func(o *google.Organization) {
			o.Policy.Bindings = append(o.Policy.Bindings, google.Binding{Role: "roles/pubsub.editor", Members: []string{"user:bob@example.com", member},
				Condition: &google.Condition{Title: "x", Expression: eligibleCondition}})
		}}, []string{"warning  eligibility: a binding of roles/pubsub.editor on organizations/" + org + "…" + member + "…only people and groups count"}},
		{"a group within a group, eligible on several projects", world{organization: func(o *google.Organization) {
			for i := range o.Groups {
				if o.Groups[i].Email == "payments@example.com" {
					o.Groups[i].Members = append(o.Groups[i].Members, "payments-leads@example.com")
				}
			}
		}}, []string{"warning  eligibility: …payments@example.com, the groups do not count: 1"}},
		{"a group within a group counts with the other catalog", world{settings: map[string]string{"RESOURCE_CATALOG": "PolicyAnalyzer"}, organization: func(o *google.Organization) {
			for i := range o.Groups {
				if o.Groups[i].Email == "payments@example.com" {
					o.Groups[i].Members = append(o.Groups[i].Members, "payments-leads@example.com")
				}
			}
		}}, nil},
		{"nobody is eligible", world{settings: map[string]string{"RESOURCE_SCOPE": "projects/shop-build"}, organization: func(o *google.Organization) {
			project(o, "shop-build").Policy = google.Policy{}
		}}, []string{"warning  eligibility: nobody is eligible for anything"}},

		{"no right to write policies", world{faults: revoke("resourcemanager.projects.setIamPolicy")}, []string{
			"broken   grants: the service account lacks resourcemanager.projects.setIamPolicy on projects/data-warehouse-prod and 11 other projects; run: " + onOrganization + "roles/resourcemanager.projectIamAdmin --condition None"}},
		{"no right to read policies", world{faults: revoke("resourcemanager.projects.getIamPolicy")}, []string{
			"broken   grants: the service account lacks resourcemanager.projects.getIamPolicy",
			"broken   policies: the policy of projects/data-warehouse-prod and 11 other projects cannot be read…roles/resourcemanager.projectIamAdmin",
			"unseen   eligibility: not looked up"}},
		{"permissions that cannot be tested", world{faults: fail(google.Fault{Path: "/v3/organizations/{id}:testIamPermissions", Status: 400, Message: "not valid for this resource"})}, []string{
			"unseen   scope: permissions on organizations/" + org + " cannot be tested"}},

		{"a policy near its limit", world{organization: func(o *google.Organization) {
			var members []string
			for i := range 1203 {
				members = append(members, fmt.Sprintf("serviceAccount:robot-%d@shop-build.iam.gserviceaccount.com", i))
			}
			p := project(o, "security-logs")
			p.Policy.Bindings = append(p.Policy.Bindings, google.Binding{Role: "roles/logging.viewer", Members: members})
		}}, []string{"warning  policies: the policy of projects/security-logs has 1204 members of at most 1500"}},
		{"a person near the limit of one role", world{organization: func(o *google.Organization) {
			p := project(o, "security-logs")
			for i := range 17 {
				p.Policy.Bindings = append(p.Policy.Bindings, google.Binding{Role: "roles/logging.viewer", Members: []string{"user:bob@example.com"},
					Condition: &google.Condition{Title: "until", Expression: fmt.Sprintf(`request.time < timestamp("2026-01-01T00:00:%02dZ")`, i)}})
			}
		}}, []string{"warning  policies: the policy of projects/security-logs binds user:bob@example.com to roles/logging.viewer 17 times of at most 20"}},

		{"an organization whose policy cannot be read", world{faults: revoke("resourcemanager.organizations.getIamPolicy")}, []string{
			"warning  ancestors: people are eligible through organizations/" + org + "…run: " + onOrganization + "roles/iam.securityReviewer --condition None"}},
		{"folders whose policies cannot be read", world{faults: revoke("resourcemanager.folders.getIamPolicy")}, []string{
			"warning  ancestors: people are eligible through folders/550038216947…gcloud resource-manager folders add-iam-policy-binding 550038216947 --member " + member + " --role roles/iam.securityReviewer",
			"warning  ancestors: people are eligible through folders/731905264410"}},

		{"no Groups Reader", world{faults: revoke("Groups Reader")}, []string{
			"broken   groups: who is in which group cannot be looked up…in the Google Admin console…Groups Reader, assign the role to " + account}},
		{"another customer id", world{settings: map[string]string{"RESOURCE_CUSTOMER_ID": "C0other"}}, []string{
			"broken   groups: …set RESOURCE_CUSTOMER_ID to what this says: gcloud organizations list"}},
		{"no right to the directory's scope", world{faults: revoke("iam.serviceAccounts.getAccessToken")}, []string{
			"broken   groups: …" + tokenCreator}},
		{"the directory's API is off", world{faults: fail(google.Fault{Path: "/admin/directory/v1/", Status: 403, Message: "Admin SDK " + disabled})}, []string{
			"broken   groups: …run: gcloud services enable admin.googleapis.com --project example-jitaccess"}},
		{"an eligible group of somebody else", world{organization: func(o *google.Organization) {
			p := project(o, "shop-build")
			p.Policy.Bindings = append(p.Policy.Bindings, google.Binding{Role: "roles/run.developer", Members: []string{"group:contractors@partner.example.net"},
				Condition: &google.Condition{Title: "x", Expression: eligibleCondition}})
		}}, []string{"warning  groups: the members of contractors@partner.example.net, which is eligible, cannot be read"}},

		{"groups that anyone may join", world{organization: func(o *google.Organization) {
			group(o, "sre@example.com").WhoCanJoin = "ALL_IN_DOMAIN_CAN_JOIN"
			group(o, "security@example.com").WhoCanJoin = "ANYONE_CAN_JOIN"
		}}, []string{
			"warning  joining: security@example.com, which is eligible, can be joined by anyone on the Internet",
			"warning  joining: sre@example.com, which is eligible, can be joined by anyone in the organization"}},
		{"settings of groups that nobody lets us see", world{organization: func(o *google.Organization) { o.GroupsEditors = nil }}, []string{
			"unseen   joining: who may join the eligible groups cannot be seen…403"}},
		{"outsiders in an eligible group", world{organization: func(o *google.Organization) {
			g := group(o, "sre@example.com")
			for i := range 7 {
				g.Members = append(g.Members, fmt.Sprintf("guest-%d@example.net", i))
			}
		}}, []string{"warning  outsiders: sre@example.com, which is eligible, has 7 members of other domains: guest-0@example.net, guest-1@example.net, guest-2@example.net, guest-3@example.net, guest-4@example.net; take them out"}},

		{"no right to read the secret", world{faults: revoke("secretmanager.versions.access")}, []string{
			"broken   secret: …if SMTP_SECRET names the right secret, run: gcloud secrets add-iam-policy-binding smtp-password --project example-jitaccess --member " + member + " --role roles/secretmanager.secretAccessor",
			"broken   mail: 127.0.0.1:…403"}},
		{"a version of the secret that does not exist", world{settings: map[string]string{"SMTP_SECRET": "projects/example-jitaccess/secrets/smtp-password/versions/9"}}, []string{
			"broken   secret: …404…run: gcloud secrets versions list smtp-password --project example-jitaccess", "broken   mail: "}},
		{"a version of the secret that was destroyed", world{change: noMail, faults: fail(google.Fault{Path: "/v1/projects/example-jitaccess/secrets/", Status: 400,
			Message: "Secret Version [projects/264853019977/secrets/smtp-password/versions/4] is in DESTROYED state."})}, []string{
			"broken   secret: what SMTP_SECRET names cannot be read: …DESTROYED…; add a version, or enable one, and let SMTP_SECRET name it; " +
				"run: printf %s 'THE SECRET' | gcloud secrets versions add smtp-password --project example-jitaccess --data-file -, or " +
				"gcloud secrets versions enable VERSION --secret smtp-password --project example-jitaccess"}},
		{"a version of the secret that was disabled", world{change: noMail, faults: fail(google.Fault{Path: "/v1/projects/example-jitaccess/secrets/", Status: 400,
			Message: "Secret Version [projects/264853019977/secrets/smtp-password/versions/4] is in DISABLED state."})}, []string{
			"broken   secret: …DISABLED…; add a version, or enable one…gcloud secrets versions enable VERSION --secret smtp-password"}},
		{"a secret that cannot be decrypted", world{change: noMail, faults: fail(google.Fault{Path: "/v1/projects/example-jitaccess/secrets/", Status: 400,
			Message: "The Cloud KMS key is not enabled."})}, []string{"broken   secret: …KMS…; trying again does not help: correct what this says is wrong"}},
		{"secrets that the mail account needs as well", world{settings: map[string]string{"SMTP_SECRET": "", "SMTP_AUTH": "oauth2", "SMTP_OAUTH_CLIENT_ID": "app", "SMTP_OAUTH_TOKEN_URL": "https://token.example.invalid/",
			"SMTP_OAUTH_CLIENT_SECRET": noSecret("client"), "SMTP_OAUTH_REFRESH_TOKEN": noSecret("token"), "SMTP_CA": noSecret("ca"), "SMTP_DKIM_SELECTOR": "jit", "SMTP_DKIM_KEY": noSecret("dkim")},
			change: noMail}, []string{
			"broken   secret: what SMTP_OAUTH_CLIENT_SECRET names cannot be read: …403…gcloud secrets add-iam-policy-binding client", "broken   secret: what SMTP_OAUTH_REFRESH_TOKEN names",
			"broken   secret: what SMTP_CA names", "broken   secret: what SMTP_DKIM_KEY names…gcloud secrets add-iam-policy-binding dkim"}},
		{"a mail server out of reach", world{settings: map[string]string{"SMTP_PORT": "1"}}, []string{
			"broken   mail: 127.0.0.1:1: connecting: Nothing listens…Correct SMTP_HOST and SMTP_PORT"}},
		{"a mail server without TLS", world{mail: smtptest.Options{NoTLS: true}}, []string{"broken   mail: …starting TLS…STARTTLS"}},
		{"a certificate of somebody else", world{mail: smtptest.Options{Certificate: smtptest.UnknownAuthority}}, []string{
			"broken   mail: …signed by nobody who is trusted here…Set SMTP_CA"}},
		{"a wrong password", world{settings: map[string]string{"SMTP_SECRET": "projects/example-jitaccess/secrets/smtp-password/versions/2"}}, []string{
			"broken   mail: …535…printf %s 'THE PASSWORD' | gcloud secrets versions add smtp-password --project example-jitaccess --data-file -"}},
		{"a sender that the server refuses", world{mail: smtptest.Options{Refuse: map[smtptest.Step]*smtp.SMTPError{smtptest.AtMail: {Code: 550, Message: "not you"}}},
			change: func(c *doctor.Config) { c.SendTo = "bob@example.com" }}, []string{"broken   mail: …the sender: 550…Set SMTP_SENDER_ADDRESS"}},
		{"a recipient whom the server refuses", world{mail: smtptest.Options{RefuseRecipient: map[string]*smtp.SMTPError{"bob@example.com": {Code: 550, Message: "who?"}}},
			change: func(c *doctor.Config) { c.SendTo = "bob@example.com" }}, []string{"broken   mail: …a recipient: 550"}},
		{"no mail", world{settings: map[string]string{"SMTP_SENDER_ADDRESS": ""}}, []string{"warning  settings: SMTP_SENDER_ADDRESS is not set"}},
		{"no mail, and one to send", world{settings: map[string]string{"SMTP_SENDER_ADDRESS": ""}, change: func(c *doctor.Config) { c.SendTo = "bob@example.com" }}, []string{
			"warning  settings: SMTP_SENDER_ADDRESS is not set", "broken   mail: no mail can be sent…SMTP_SENDER_ADDRESS="}},

		{"a policy file that can be taken", world{change: policyAt("projects/example-jitaccess/secrets/smtp-password/versions/1")}, nil},
		{"a policy file, and folders that may not be read", world{change: policyAt("projects/example-jitaccess/secrets/smtp-password/versions/1"),
			faults: revoke("resourcemanager.folders.get")}, []string{
			"warning  policy file: what lies above projects/…cannot be read, so that rules about folders or the organization refuse…" +
				onOrganization + "roles/browser --condition None"}},
		{"a policy file with a fault", world{change: func(c *doctor.Config) {
			c.PolicyFile = func(context.Context) error {
				return errors.New("the policy has faults\n3:5: a rule needs the key \"name\"")
			}
		}}, []string{"broken   policy file: the policy has faults 3:5: a rule needs the key \"name\"; correct it; jitaccess policy lint"}},
		{"folders and an organization that rules give out", world{organization: mayWriteFolders, change: naming("folders/731905264410", "organizations/"+org)}, nil},
		{"a folder that may not be written", world{change: naming("folders/731905264410")}, []string{
			"broken   folders: a rule gives out folders/731905264410, and the service account lacks resourcemanager.folders.setIamPolicy there, or there is no such thing; " +
				"run: gcloud resource-manager folders add-iam-policy-binding 731905264410 --member " + member + " --role roles/resourcemanager.folderIamAdmin --condition None; or take it out"}},
		{"an organization that may not be written", world{change: naming("organizations/" + org)}, []string{
			"broken   folders: …resourcemanager.organizations.setIamPolicy…run: " + onOrganization + "roles/resourcemanager.organizationAdmin"}},
		{"a folder that does not exist", world{organization: mayWriteFolders, change: naming("folders/4711")}, []string{
			"broken   folders: …lacks resourcemanager.folders.get, resourcemanager.folders.getIamPolicy, resourcemanager.folders.setIamPolicy there, or there is no such thing"}},
		{"a folder outside the scope", world{organization: mayWriteFolders, settings: map[string]string{"RESOURCE_SCOPE": "folders/731905264410"},
			change: naming("folders/198467720153")}, []string{"warning  folders: A rule of the policy gives out folders/198467720153, which does not lie in folders/731905264410…; An administrator can"}},
		{"a folder that is being deleted", world{organization: mayWriteFolders, faults: func(f *google.Faults) { f.DeleteFolder("550038216947") },
			change: naming("folders/550038216947")}, []string{"warning  folders: …which is being deleted"}},
		{"permissions on a folder that cannot be tested", world{organization: mayWriteFolders, change: naming("folders/550038216947"),
			faults: fail(google.Fault{Path: "/v3/folders/{id}:testIamPermissions", Status: 400, Message: "no"})}, []string{
			"unseen   folders: permissions on folders/550038216947 cannot be tested"}},
		{"a policy in a secret that cannot be read", world{change: policyAt("projects/example-jitaccess/secrets/policy/versions/1")}, []string{
			"broken   policy file: what POLICY names cannot be read: …run: gcloud secrets add-iam-policy-binding policy --project example-jitaccess"}},
		{"a policy in a parameter that cannot be read", world{change: policyAt("projects/example-jitaccess/locations/global/parameters/policy/versions/v1")}, []string{
			"broken   policy file: …403…if POLICY names the right parameter, run: gcloud projects add-iam-policy-binding example-jitaccess --member " + member +
				" --role roles/parametermanager.parameterViewer --condition None"}},
		{"a policy in a parameter that is not there", world{change: policyAt("projects/example-jitaccess/locations/global/parameters/policy/versions/v1"),
			faults: fail(google.Fault{Path: "/v1/projects/example-jitaccess/locations/", Status: 404, Message: "was not found"})}, []string{
			"broken   policy file: …let POLICY name a version that is there and enabled; run: gcloud parametermanager parameters versions list --parameter policy --location global --project example-jitaccess"}},

		{"a topic", world{settings: map[string]string{"NOTIFICATION_TOPIC": "jitaccess-notifications"}}, nil},
		{"a topic by its full name", world{settings: map[string]string{"NOTIFICATION_TOPIC": "projects/example-jitaccess/topics/jitaccess-notifications"}}, nil},
		{"no right to publish", world{settings: map[string]string{"NOTIFICATION_TOPIC": "jitaccess-notifications"}, faults: revoke("pubsub.topics.publish")}, []string{
			"broken   topic: the service account lacks pubsub.topics.publish on projects/example-jitaccess/topics/jitaccess-notifications, or there is no such topic; " +
				"run: gcloud pubsub topics add-iam-policy-binding jitaccess-notifications --project example-jitaccess --member " + member + " --role roles/pubsub.publisher" +
				", if need be after: gcloud pubsub topics create jitaccess-notifications --project example-jitaccess"}},
		{"a topic that does not exist", world{settings: map[string]string{"NOTIFICATION_TOPIC": "projects/shop-build/topics/nothing"}}, []string{
			"broken   topic: …projects/shop-build/topics/nothing, or there is no such topic; …gcloud pubsub topics create nothing --project shop-build"}},
		{"a topic that Google refuses to be asked about", world{settings: map[string]string{"NOTIFICATION_TOPIC": "jitaccess-notifications"}, faults: fail(google.Fault{
			Path: "/v1/projects/{project}/topics/{topic}:testIamPermissions", Status: 400, Message: "Invalid resource name."})}, []string{
			"broken   topic: …Invalid resource name…; correct NOTIFICATION_TOPIC"}},
		{"the API of topics is off", world{settings: map[string]string{"NOTIFICATION_TOPIC": "jitaccess-notifications"}, faults: fail(google.Fault{
			Path: "/v1/projects/{project}/topics/{topic}:testIamPermissions", Status: 403, Message: "Cloud Pub/Sub " + disabled})}, []string{
			"broken   topic: …run: gcloud services enable pubsub.googleapis.com --project example-jitaccess"}},

		{"JIT Access 1.x as another Cloud Run service", world{organization: func(o *google.Organization) {
			o.RunServices = append(o.RunServices, google.RunService{Name: "jitaccess-old", Region: "us-central1", Image: "gcr.io/x/jitaccess:1.8.1", ServiceAccount: account},
				google.RunService{Name: "website", Region: "us-central1", ServiceAccount: "web@example-jitaccess.iam.gserviceaccount.com"})
		}}, []string{"warning  other versions: the Cloud Run service jitaccess-old (gcr.io/x/jitaccess:1.8.1)…still grants; run: gcloud run services delete jitaccess-old --region us-central1 --project example-jitaccess"}},
		{"an old revision that still answers", world{organization: func(o *google.Organization) {
			o.RunServices[0].Traffic = append(o.RunServices[0].Traffic, google.RunTraffic{Revision: "jitaccess-00007-old", Percent: 10}, google.RunTraffic{Revision: "jitaccess-00003-tag", Tag: "java"})
		}}, []string{"warning  other versions: …jitaccess-00007-old, jitaccess-00003-tag; run: gcloud run services update-traffic jitaccess --to-latest --region europe-west1 --project example-jitaccess --clear-tags"}},
		{"JIT Access 1.x on App Engine", world{organization: func(o *google.Organization) {
			o.AppVersions = []google.AppVersion{
				{Service: "default", ID: "v1", Runtime: "java17", ServiceAccount: account}, {Service: "default", ID: "v2", Runtime: "java17", Manual: true},
				{Service: "default", ID: "v3", Runtime: "java17", Stopped: true}, {Service: "default", ID: "v4", Runtime: "go126", ServiceAccount: account},
				{Service: "shop", ID: "v5", Runtime: "java21", ServiceAccount: "shop@example-jitaccess.iam.gserviceaccount.com"},
				{Service: "default", ID: "v6", Runtime: "java11"}, {Service: "default", ID: "v7", Runtime: "java11"}, {Service: "default", ID: "v8", Runtime: "java11"},
			}
		}}, []string{
			"warning  other versions: version v1 of the App Engine service default runs on java17…run: gcloud app versions delete v1 --service default --project example-jitaccess",
			"warning  other versions: …run: gcloud app versions stop v2 --service default",
			"warning  other versions: …delete v6", "warning  other versions: …delete v7", "warning  other versions: …delete v8"}},
		{"deployments that nobody lets us see", world{faults: revoke("run.services.list", "appengine.services.list")}, []string{
			"unseen   other versions: …Cloud Run cannot be seen…run: gcloud projects add-iam-policy-binding example-jitaccess --member " + member + " --role roles/run.viewer --condition None"}},
		{"deployments that nobody lets us see, on App Engine", world{settings: map[string]string{"K_SERVICE": "", "GAE_SERVICE": "default"}, faults: revoke("run.services.list", "appengine.services.list"),
			organization: func(o *google.Organization) { o.RunServices = nil }}, []string{
			"unseen   other versions: …App Engine cannot be seen…--role roles/appengine.appViewer --condition None"}},

		{"a key of the account", world{organization: func(o *google.Organization) { o.AccountKeys = []string{"0a1b2c"} }}, []string{
			"warning  account keys: …user-managed key 0a1b2c…run: gcloud iam service-accounts keys delete 0a1b2c --iam-account " + account + " --project example-jitaccess"}},
		{"keys that nobody lets us see", world{faults: revoke("iam.serviceAccountKeys.list")}, []string{
			"unseen   account keys: …run: gcloud iam service-accounts keys list --iam-account " + account + " --managed-by user"}},
	} {
		t.Run(test.fault, func(t *testing.T) {
			var bad []string
			lines := test.world.examine(t)
			for _, line := range lines {
				if strings.ContainsAny(line, "\n\r") || strings.Contains(line, canary) {
					t.Errorf("not one line, or a secret: %q", line)
				}
				if !strings.HasPrefix(line, "ok ") {
					bad = append(bad, line)
				}
			}
			matches := len(bad) == len(test.want)
			for i := 0; matches && i < len(bad); i++ {
				rest, at := bad[i], 0
				for part := range strings.SplitSeq(test.want[i], "…") {
					at = strings.Index(rest, part)
					if at < 0 {
						break
					}
					rest = rest[at+len(part):]
				}
				matches = at >= 0
			}
			if !matches {
				t.Errorf("found\n%s\nwant\n%s", strings.Join(bad, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

// TestARefusalForGoodIsNotTriedAgain answers each call of doctor's with 400, one after
// the other: whoever follows a remedy must not wait for what does not pass.
func TestARefusalForGoodIsNotTriedAgain(t *testing.T) {
	deployment := world{settings: map[string]string{"RESOURCE_CATALOG": "PolicyAnalyzer", "NOTIFICATION_TOPIC": "jitaccess-notifications"}, change: noMail}
	c, cloud := deployment.deploy(t)
	doctor.Run(context.Background(), c, func(doctor.Finding) {})
	failed := 0
	for call := range cloud.Calls().All() {
		method, path, _ := strings.Cut(call, " ")
		if strings.Contains(path, "/computeMetadata/") {
			continue
		}
		deployment.faults = fail(google.Fault{Method: method, Path: path, Status: 400, Message: "Request contains an invalid argument."})
		for _, line := range deployment.examine(t) {
			if strings.HasPrefix(line, "ok ") {
				continue
			}
			failed++
			for _, wrong := range []string{"try again; if", "status.cloud.google.com", "what the network lets out", "let the service reach", "refused the change"} {
				if strings.Contains(line, wrong) {
					t.Errorf("%s is refused for good: %s", call, line)
				}
			}
		}
	}
	if failed < 14 {
		t.Errorf("only %d lines say that something failed", failed)
	}
}

// TestNothingIsChanged: all calls read, or ask for a signature or a token.
func TestNothingIsChanged(t *testing.T) {
	c, cloud := world{settings: map[string]string{"RESOURCE_CATALOG": "PolicyAnalyzer", "NOTIFICATION_TOPIC": "jitaccess-notifications"}}.deploy(t)
	doctor.Run(context.Background(), c, func(doctor.Finding) {})
	if len(cloud.Calls().All()) < 17 {
		t.Errorf("only these calls: %v", cloud.Calls().All())
	}
	for call := range cloud.Calls().All() {
		_, verb, _ := strings.Cut(call[strings.LastIndex(call, "/"):], ":")
		reads := map[string]bool{"getIamPolicy": true, "testIamPermissions": true, "signJwt": true, "generateAccessToken": true}
		if !strings.HasPrefix(call, "GET ") && !reads[verb] {
			t.Errorf("it calls %s", call)
		}
	}
}

func TestCommandsAreSafeToCopy(t *testing.T) {
	for argument, want := range map[string]string{
		"plain-1.x": "run: gcloud plain-1.x", "a b": "run: gcloud 'a b'", "$(reboot)": "run: gcloud '$(reboot)'", "it's;x": `run: gcloud 'it'\''s;x'`, "": "run: gcloud ''",
	} {
		if got := doctor.Gcloud(argument); got != want {
			t.Errorf("%q: %s, want %s", argument, got, want)
		}
	}
}

func TestFindingIsOneLine(t *testing.T) {
	f := doctor.Finding{Status: doctor.Broken, Check: "mail", Text: "550 no\r\nok       mail: fine\u202e\x1b[2J", Remedy: "set X"}
	if got, want := f.String(), "broken   mail: 550 no  ok       mail: fine  [2J; set X"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestLocate: with application default credentials the number of the project and
// the region of the service are looked up, and missing permissions cost no more
// than that.
func TestLocate(t *testing.T) {
	for _, test := range []struct {
		name           string
		faults         func(*google.Faults)
		number, region string
	}{
		{"both", nil, "264853019977", "europe-west1"},
		{"neither", revoke("run.services.list", "resourcemanager.projects.get"), "", ""},
	} {
		c, _ := world{faults: test.faults}.deploy(t)
		c.Platform.ProjectNumber, c.Platform.Region = "", ""
		doctor.Locate(context.Background(), c.Platform, "jitaccess")
		if p := c.Platform; p.ProjectNumber != test.number || p.Region != test.region {
			t.Errorf("%s: number %q, region %q", test.name, p.ProjectNumber, p.Region)
		}
	}
}

// noSecret is the path of a secret that is not there, or not for us: Google says the
// same.
func noSecret(name string) string {
	return "projects/example-jitaccess/secrets/" + name + "/versions/1"
}

// noMail leaves out what the mail server says.
func noMail(c *doctor.Config) { c.Mailer = good{} }

// good is a mail server that takes everything.
type good struct{}

func (good) Enabled() bool                                                       { return true }
func (good) Probe(context.Context, access.Principal, func(string, string)) error { return nil }
