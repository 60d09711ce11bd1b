package google

import (
	"fmt"
	"time"
)

const (
	selfMarker = "has({}.jitAccessConstraint)"
	peerMarker = "has({}.multiPartyApprovalConstraint)"
)

// eligible is the condition with which an administrator makes a role eligible.
func eligible(expression string) *Condition {
	return &Condition{Title: "Eligible for JIT access", Expression: expression}
}

// earlier is a grant that JIT Access 1.x made: it carries no id.
func earlier(start, end time.Time, description string) *Condition {
	return &Condition{
		Title: "JIT access activation", Description: description,
		Expression: fmt.Sprintf(`(request.time >= timestamp("%s") && request.time < timestamp("%s"))`, timestamp(start), timestamp(end)),
	}
}

// Believable is an organization in which there is something to try: folders, a
// dozen projects, groups (one of them nested, one of another company), and roles
// that people may activate alone or with the approval of peers, held directly,
// through groups, and inherited. There is what real organizations have collected,
// too: audit configurations, conditional bindings of other tools, a broken
// condition, and activations that JIT Access 1.x made before now.
func Believable(now time.Time) Organization {
	now = now.UTC().Truncate(time.Second)
	const account = "jitaccess@example-jitaccess.iam.gserviceaccount.com"
	return Organization{
		ID: "482093157016", Domain: "example.com", CustomerID: "C01sandbx",
		Administrator: "erin@example.com",
		People: []Person{
			{Name: "Alice Moreau", Email: "alice@example.com", Subject: "accounts.google.com:108213000000000000017", Can: "On call for the shop: activates Cloud SQL and exports alone, and production machines with a peer's approval."},
			{Name: "Bob Tanaka", Email: "bob@example.com", Subject: "accounts.google.com:108213000000000000024", Can: "On call for the shop too: Alice's peer, and leads payments; approves for both."},
			{Name: "Carol Nyberg", Email: "carol@example.com", Subject: "accounts.google.com:108213000000000000031", Can: "Works with the data warehouse: edits data alone, administers it with a peer's approval."},
			{Name: "Dan O'Brien", Email: "dan.o'brien@example.com", Subject: "accounts.google.com:108213000000000000048", Can: "Develops payments: reads logs and deploys alone, needs approval for more, and one of his roles has a broken condition."},
			{Name: "Erin Silva", Email: "erin@example.com", Subject: "accounts.google.com:108213000000000000055", Can: "Security: may review every policy of the organization, and administers this service."},
			{Name: "Frank Weber", Email: "frank@example.com", Subject: "accounts.google.com:108213000000000000062", Can: "Started this week: activates nothing in the shop yet, and may ask for one role in the intranet."},
		},
		Groups: []Group{
			{Email: "sre@example.com", Name: "Site reliability", Members: []string{"alice@example.com", "bob@example.com"}},
			{Email: "payments@example.com", Name: "Payments", Members: []string{"dan.o'brien@example.com", "payments-leads@example.com"}},
			{Email: "payments-leads@example.com", Name: "Payments leads", Members: []string{"bob@example.com", "carol@example.com"}},
			{Email: "data-platform@example.com", Name: "Data platform", Members: []string{"carol@example.com", "dan.o'brien@example.com", "alice@example.com"}},
			{Email: "security@example.com", Name: "Security", Members: []string{"erin@example.com"}},
			{Email: "engineers@example.com", Name: "Engineers", Members: []string{"alice@example.com", "bob@example.com", "carol@example.com", "dan.o'brien@example.com", "erin@example.com", "frank@example.com"}},
			{Email: "contractors@partner.example.net", Name: "Contractors", Members: []string{"gil@partner.example.net"}, External: true},
		},
		Policy: Policy{
			Bindings: []Binding{
				{Role: "roles/resourcemanager.organizationAdmin", Members: []string{"user:erin@example.com"}},
				{Role: "roles/browser", Members: []string{"domain:example.com", "serviceAccount:" + account}},
				{Role: "roles/cloudasset.viewer", Members: []string{"serviceAccount:" + account}},
				{Role: "roles/resourcemanager.projectIamAdmin", Members: []string{"serviceAccount:" + account}},
				{Role: "roles/iam.roleViewer", Members: []string{"serviceAccount:" + account}},
				{Role: "roles/iam.securityReviewer", Members: []string{"group:security@example.com"}, Condition: eligible(selfMarker)},
			},
			AuditConfigs: []AuditConfig{{Service: "allServices", AuditLogConfigs: []AuditLogConfig{{LogType: "ADMIN_READ"}}}},
		},
		Folders: []Folder{
			{ID: "731905264410", DisplayName: "Production", Parent: "organizations/482093157016", Policy: Policy{Bindings: []Binding{
				{Role: "roles/compute.instanceAdmin.v1", Members: []string{"group:sre@example.com"}, Condition: eligible(peerMarker)},
				{Role: "roles/logging.privateLogViewer", Members: []string{"group:sre@example.com", "group:payments@example.com"}, Condition: eligible(selfMarker)},
				{Role: "roles/viewer", Members: []string{"group:sre@example.com"}},
				// The service may read the policies here, and not those of the other
				// folder and the organization.
				{Role: "roles/iam.securityReviewer", Members: []string{"serviceAccount:" + account}},
			}}},
			{ID: "198467720153", DisplayName: "Development", Parent: "organizations/482093157016", Policy: Policy{Bindings: []Binding{
				{Role: "roles/editor", Members: []string{"group:engineers@example.com"}},
			}}},
			{ID: "550038216947", DisplayName: "Data", Parent: "folders/731905264410", Policy: Policy{Bindings: []Binding{
				{Role: "roles/bigquery.dataEditor", Members: []string{"group:data-platform@example.com"}, Condition: eligible(selfMarker)},
				// The service may grant roles on the folder itself, where a policy names it.
				{Role: "roles/resourcemanager.folderIamAdmin", Members: []string{"serviceAccount:" + account}},
			}}},
		},
		Projects:    believableProjects(now),
		CustomRoles: believableRoles,

		ServiceProject: "example-jitaccess", Region: "europe-west1", ServiceAccount: account,
		ServiceAccountPolicy: Policy{Bindings: []Binding{{Role: "roles/iam.serviceAccountTokenCreator", Members: []string{"serviceAccount:" + account}}}},
		ServiceAccounts:      []string{"deployer@shop-build.iam.gserviceaccount.com"},
		GroupsReaders:        []string{account},
		Buckets:              []Bucket{{"shop-orders-exports", "shop-orders-prod"}, {"warehouse-landing", "data-warehouse-prod"}},
		Topics:               []string{"jitaccess-notifications"},
	}
}

var believableRoles = []Role{
	{Name: "organizations/482093157016/roles/incidentResponder", Title: "Incident Responder", Description: "Restart services and read private logs during an incident.",
		Permissions: []string{"compute.instances.reset", "logging.privateLogEntries.list", "run.services.update"}},
	{Name: "projects/shop-payments-prod/roles/ledgerRepair", Title: "Ledger Repair", Description: "Correct single entries of the payment ledger.",
		Permissions: []string{"cloudsql.instances.connect", "cloudsql.instances.login"}},
}

func believableProjects(now time.Time) []Project {
	const production, development, data = "folders/731905264410", "folders/198467720153", "folders/550038216947"
	const organization = "organizations/482093157016"
	labels := func(environment string) map[string]string { return map[string]string{"env": environment} }
	return []Project{
		{ID: "shop-frontend-prod", Number: "104958332761", DisplayName: "Shop front end", Parent: production, Labels: labels("prod"), Policy: Policy{Bindings: []Binding{
			{Role: "roles/run.admin", Members: []string{"group:sre@example.com"}, Condition: eligible(peerMarker)},
			{Role: "roles/run.developer", Members: []string{"user:alice@example.com", "user:bob@example.com"}, Condition: eligible(selfMarker)},
		}}},
		ordersProject(now, production),
		paymentsProject(production),
		{ID: "platform-network-prod", Number: "387102945568", DisplayName: "Network", Parent: production, Labels: labels("prod"), Policy: Policy{Bindings: []Binding{
			{Role: "roles/compute.networkAdmin", Members: []string{"group:sre@example.com"}, Condition: eligible(peerMarker)},
		}}},
		warehouseProject(now, data),
		{ID: "shop-frontend-dev", Number: "540217733908", DisplayName: "Shop front end (dev)", Parent: development, Labels: labels("dev")},
		{ID: "shop-orders-dev", Number: "629481005537", DisplayName: "Shop orders (dev)", Parent: development, Labels: labels("dev"), Policy: Policy{Bindings: []Binding{
			{Role: "roles/owner", Members: []string{"user:alice@example.com"}},
			{Role: "roles/cloudsql.admin", Members: []string{"group:engineers@example.com"}, Condition: eligible(selfMarker)},
		}}},
		{ID: "shop-payments-dev", Number: "718830264491", DisplayName: "Shop payments (dev)", Parent: development, Labels: labels("dev")},
		{ID: "shop-build", Number: "806655913247", DisplayName: "Build and release", Parent: organization, Policy: Policy{Bindings: []Binding{
			{Role: "roles/editor", Members: []string{"serviceAccount:deployer@shop-build.iam.gserviceaccount.com"}},
			{Role: "organizations/482093157016/roles/incidentResponder", Members: []string{"group:sre@example.com"}, Condition: eligible(selfMarker)},
		}}},
		{ID: "security-logs", Number: "915320047782", DisplayName: "Security logs", Parent: organization, Policy: Policy{Bindings: []Binding{
			{Role: "roles/logging.admin", Members: []string{"user:erin@example.com"}, Condition: eligible(selfMarker)},
		}}},
		{ID: "example.com:intranet", Number: "21740936655", DisplayName: "Intranet", Parent: organization, Policy: Policy{Bindings: []Binding{
			{Role: "roles/storage.admin", Members: []string{"user:alice@example.com", "user:frank@example.com"}, Condition: eligible(peerMarker)},
		}}},
		{ID: "spring-campaign", Number: "1039284756610", DisplayName: "Spring campaign", Parent: organization, Deleted: true},
		{ID: "example-jitaccess", Number: "264853019977", DisplayName: "JIT access", Parent: organization},
	}
}

func ordersProject(now time.Time, parent string) Project {
	return Project{ID: "shop-orders-prod", Number: "219046635873", DisplayName: "Shop orders", Parent: parent, Labels: map[string]string{"env": "prod"}, Policy: Policy{
		Bindings: []Binding{
			{Role: "roles/cloudsql.admin", Members: []string{"user:alice@example.com", "user:bob@example.com"}, Condition: eligible(selfMarker)},
			{Role: "roles/storage.objectAdmin", Members: []string{"user:alice@example.com"}, Condition: eligible(
				selfMarker + ` && resource.name.startsWith("projects/_/buckets/shop-orders-exports/")`)},
			{Role: "roles/compute.osAdminLogin", Members: []string{"group:sre@example.com"}, Condition: eligible(
				peerMarker + ` && resource.type == "compute.googleapis.com/Instance" && resource.name.extract("instances/{name}") != "vault"`)},
			{Role: "roles/secretmanager.admin", Members: []string{"group:sre@example.com"}, Condition: eligible(peerMarker)},
			// Of another tool, and of people who have left.
			{Role: "roles/pubsub.publisher", Members: []string{"serviceAccount:deployer@shop-build.iam.gserviceaccount.com"}},
			{Role: "roles/logging.viewer", Members: []string{"group:contractors@partner.example.net"}, Condition: &Condition{
				Title: "until the audit is over", Description: "managed by terraform",
				Expression: `request.time < timestamp("` + timestamp(now.AddDate(0, 3, 0)) + `")`}},
			{Role: "roles/cloudsql.client", Members: []string{"deleted:user:hana@example.com?uid=116204993381045517290", "user:bob@example.com"}},
			// Bob's is over, Alice's goes on; neither carries an id.
			{Role: "roles/cloudsql.admin", Members: []string{"user:bob@example.com"}, Condition: earlier(
				now.Add(-26*time.Hour), now.Add(-24*time.Hour), "Self-approved, justification: BUG-1042 failover drill")},
			{Role: "roles/secretmanager.admin", Members: []string{"user:alice@example.com"}, Condition: earlier(
				now.Add(-10*time.Minute), now.Add(50*time.Minute), "Approved by bob@example.com, justification: BUG-1107 rotate the key of the queue")},
		},
		AuditConfigs: []AuditConfig{
			{Service: "cloudsql.googleapis.com", AuditLogConfigs: []AuditLogConfig{{LogType: "DATA_READ"}, {LogType: "DATA_WRITE", ExemptedMembers: []string{"serviceAccount:deployer@shop-build.iam.gserviceaccount.com"}}}},
		},
	}}
}

func paymentsProject(parent string) Project {
	return Project{ID: "shop-payments-prod", Number: "305571829046", DisplayName: "Shop payments", Parent: parent, Labels: map[string]string{"env": "prod", "pci": "true"}, Policy: Policy{
		Bindings: []Binding{
			{Role: "roles/cloudsql.admin", Members: []string{"group:payments@example.com", "group:payments-leads@example.com"}, Condition: eligible(peerMarker)},
			{Role: "projects/shop-payments-prod/roles/ledgerRepair", Members: []string{"group:payments-leads@example.com", "user:dan.o'brien@example.com"}, Condition: eligible(peerMarker)},
			{Role: "roles/secretmanager.secretAccessor", Members: []string{"group:payments@example.com", "user:bob@example.com"}, Condition: eligible(
				peerMarker + ` && resource.name.startsWith("projects/305571829046/secrets/acquirer-")`)},
			// Somebody's note on the last line, and a line that was cut off.
			{Role: "roles/run.developer", Members: []string{"user:dan.o'brien@example.com"}, Condition: eligible(
				selfMarker + " && resource.type == \"run.googleapis.com/Service\" // not the jobs")},
			{Role: "roles/pubsub.editor", Members: []string{"user:dan.o'brien@example.com"}, Condition: eligible(
				selfMarker + ` && resource.name.startsWith("projects/`)},
			{Role: "roles/container.developer", Members: []string{"user:dan.o'brien@example.com"}, Condition: &Condition{
				Title: "office hours", Expression: `request.time.getHours("Europe/Berlin") >= 8 && request.time.getHours("Europe/Berlin") < 18`}},
		},
		AuditConfigs: []AuditConfig{{Service: "allServices", AuditLogConfigs: []AuditLogConfig{{LogType: "DATA_READ"}, {LogType: "DATA_WRITE"}}}},
	}}
}

func warehouseProject(now time.Time, parent string) Project {
	return Project{ID: "data-warehouse-prod", Number: "472690018835", DisplayName: "Data warehouse", Parent: parent, Labels: map[string]string{"env": "prod"}, Policy: Policy{
		Bindings: []Binding{
			{Role: "roles/bigquery.admin", Members: []string{"group:data-platform@example.com"}, Condition: eligible(
				peerMarker + ` && resource.type == "bigquery.googleapis.com/Dataset"`)},
			{Role: "roles/storage.objectViewer", Members: []string{"user:carol@example.com", "user:frank@example.com"}, Condition: &Condition{
				Title: "landing zone only", Expression: `resource.name.startsWith("projects/_/buckets/warehouse-landing")`}},
			{Role: "roles/bigquery.dataEditor", Members: []string{"user:carol@example.com"}, Condition: earlier(
				now.Add(-72*time.Hour), now.Add(-71*time.Hour), "Self-approved, justification: reload of the March orders")},
		},
	}}
}
