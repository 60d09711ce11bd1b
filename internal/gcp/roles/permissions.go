package roles

import (
	"slices"
	"strings"
	"unicode"

	"jitaccess/internal/access"
)

// changesPermissions is whether a role with these permissions lets its holder give
// access away, widen it, or act as somebody else; Unknown when its permissions are not
// known. It errs towards Yes.
func changesPermissions(permissions []string) access.Answer {
	switch {
	case len(permissions) == 0:
		return access.Unknown
	case slices.ContainsFunc(permissions, changes):
		return access.Yes
	}
	return access.No
}

// changes is whether one permission does. Its name is SERVICE.RESOURCE.VERB
// (https://cloud.google.com/iam/docs/permissions-reference). The order is that of the
// strength of what is said: the permission by name, what it is about, its verb, its service.
// What no line here knows counts as yes: new services and new verbs come every week.
func changes(permission string) bool {
	service, rest, _ := strings.Cut(permission, ".")
	at := strings.LastIndexByte(rest, '.')
	if at < 0 {
		return true
	}
	verb := words(rest[at+1:])
	first, _, _ := strings.Cut(strings.TrimSpace(verb), " ")
	reads := slices.Contains(readingVerbs, first)
	switch {
	case slices.Contains(byName, permission):
		return true
	case slices.Contains(harmless, permission):
		return false
	case reads:
		return about(verb, credentials)
	case about(words(rest[:at])+verb, accessItself):
		return true
	}
	return !slices.Contains(ordinaryServices, service) || !slices.Contains(ordinaryVerbs, first)
}

// words are those of a name in camel case, in lower case, each behind a space.
func words(name string) string {
	var b strings.Builder
	b.WriteByte(' ')
	var before rune
	for _, r := range name {
		if r == '.' || r == '/' || unicode.IsUpper(r) && !unicode.IsUpper(before) {
			b.WriteByte(' ')
		}
		if r != '.' && r != '/' {
			b.WriteRune(unicode.ToLower(r))
		}
		before = r
	}
	return b.String()
}

// about is whether one of the subjects begins at the beginning of a word.
func about(words string, subjects []string) bool {
	return slices.ContainsFunc(subjects, func(s string) bool { return strings.Contains(words, " "+s) })
}

// accessItself is what access is made of: who changes it changes who may do what, or gets
// what somebody else may.
var accessItself = strings.Split(
	"iam policy|policy binding|access polic|access level|access scope|access binding|row access|acl|authoriz|authz|"+
		"role|rbacrole|permission|escalat|bind|"+
		"service account|serviceaccount|act as|impersonat|delegat|identit|idp config|users|user roles|"+
		"token|credential|password|resetpassword|oauth|kubeconfig|ssl certs|user cred|hmac key|api key|apikey|appkeys|secret key|signed url key|"+
		"tag binding|tag value|tag key|tag hold|webhook configurations|certificate signing requests", "|")

// credentials are what must not even be read, since who has them is somebody else.
var credentials = strings.Split("token|open id|credential|with secret|get secret|password|kubeconfig|auth string|key string", "|")

// byName change permissions though neither service nor verb says so: who creates a
// project or a folder owns it, what moves inherits from elsewhere, metadata holds the
// SSH keys that open a machine, and what runs code under an identity without asking for
// iam.serviceAccounts.actAs lends that identity.
var byName = strings.Fields(`
resourcemanager.projects.create resourcemanager.projects.move resourcemanager.folders.create resourcemanager.folders.move
compute.instances.setMetadata compute.projects.setCommonInstanceMetadata
run.jobs.runWithOverrides dataproc.jobs.create dataproc.jobs.update composer.environments.executeAirflowCommand aiplatform.customJobs.create
aiplatform.hyperparameterTuningJobs.create osconfig.osPolicyAssignments.create osconfig.osPolicyAssignments.update
osconfig.guestPolicies.create osconfig.guestPolicies.update osconfig.policyOrchestrators.create osconfig.policyOrchestrators.update
osconfig.patchDeployments.create osconfig.patchDeployments.update osconfig.patchJobs.exec
container.secrets.get container.secrets.list container.pods.create container.pods.update container.pods.exec container.pods.attach
container.jobs.create container.jobs.update container.cronJobs.create container.cronJobs.update container.deployments.create
container.deployments.update container.daemonSets.create container.daemonSets.update container.statefulSets.create
container.statefulSets.update container.replicaSets.create container.replicaSets.update container.replicationControllers.create
container.replicationControllers.update container.nodes.proxy
bigquery.datasets.update spanner.databases.updateDdl servicemanagement.services.bind`)

// harmless are called like what gives access, and give none: kubeconfigs without a
// credential, marks of consistency, and whether there is a token.
var harmless = strings.Fields(`
gkehub.gateway.generateCredentials bigtable.tables.generateConsistencyToken dataform.repositories.computeAccessTokenStatus
iap.webServiceVersions.accessViaIAP iap.tunnelInstances.accessViaIAP iap.tunnelDestGroups.accessViaIAP`)

// readingVerbs are the first words of verbs that change nothing.
var readingVerbs = strings.Fields(`
get list search view read fetch query lookup find check count describe show preview explain watch download export ping report estimate
analyze calculate simulate validate verify test evaluate lint introspect enumerate discover detect recommend suggest rank retrieve
summarize diagnose aggregate sample seek listen referencedby troubleshoot investigate compute`)

// ordinaryVerbs are the first words of verbs that change what a service is for.
var ordinaryVerbs = strings.Fields(`
abandon abort accept access ack acquire activate adapt add adjust advance ai allocate annotate announce answer appeal append apply
approve approver archive assist associate async attach backup batch begin bidi break build bulk calendar call cancel capacity chat
clear clip clone close code collect commit complete config configure connect construct consume converse convert copy create creator
deactivate deidentify delete demote deny deploy deprecate deprovision deregister derive destination destroy detach dicom disable
dismiss dissociate distribute doc drop duplicate edit egress enable encrypt end enroll evict exec execute expand explore extend
extract failover finalize finish flush full gemini generate google graduate group heartbeat hybrid ignore import index ingest init
initialize initiate insert install instantiate interact invalidate invoke label lease legacy lift link load lock log logging make
merge metadata migrate mirror modify mount move mutate mute on open opt optimize orchestrate partition patch pause perform pin place
placeholders post predict private process promote propose provision proxy psc publish pull purchase purge push put quota rebranding
receive recognize reconfigure record recover recrawl redeem reencrypt reference refresh reimage reject rejoin release relocate
remediate remove rename render renew reopen repair replace replay replicate request rerun reschedule reset resize resolve restart
restore resume resync retract retry reverse revert review rollback rollout route run scan schedule seed select send set snapshot spark
split start stop store stream streaming submit subscribe suspend switch switchover sync target terminate train transition translate
trash trigger truncate tune udm unassociate undelete undeploy undo unenroll uninstall unlink unlock unmount unresolve unset update
upgrade upload use vertex wait withdraw write`)

// ordinaryServices are those whose resources are not access itself. Not among them, and so
// counted for all that does not read, are those that are: iam, privilegedaccessmanager,
// accesscontextmanager, accessapproval, orgpolicy, iap, deploymentmanager, cloudbuild and
// config (which run templates under identities of their own), and others.
var ordinaryServices = strings.Fields(`
actions advisorynotifications agentregistry aiplatform alloydb analyticshub androidmanagement apigateway apigee apigeeconnect
apigeeregistry apihub apim appengine apphub applianceactivation appoptimize apptopology artifactregistry assuredoss auditmanager
automl automlrecommendations autoscaling axt backupdr baremetalsolution batch biglake bigquery bigquerymigration bigtable billing
binaryauthorization blockchainnodeengine blockchainvalidatormanager businessaicode capacityplanner carestudio certificatemanager ces
chat chronicle chroniclesm cloud cloudaicompanion cloudapiregistry cloudasset cloudconfig clouddebugger clouddeploy cloudfunctions
cloudiot cloudjobdiscovery cloudkms cloudlocationfinder cloudmessaging cloudmigration cloudnotifications cloudnumberregistry
cloudonefs cloudoptimization cloudprivatecatalog cloudprivatecatalogproducer cloudprofiler cloudquotas cloudscheduler
cloudsecuritycompliance cloudsecurityscanner cloudsql cloudsupport cloudtasks cloudtestservice cloudtoolresults cloudtrace
cloudtranslate cloudvolumesgcp-api commerceagreementpublishing commercebusinessenablement commerceoffercatalog commerceorggovernance
commerceprice commerceproducer composer compute confidentialcomputing connectors consumerprocurement
contactcenteraiplatform contactcenterinsights container containeranalysis containersecurity contentwarehouse databasecenter
databaseinsights databasesconsole datacatalog dataconnectors dataflow dataform datafusion datalabeling datalineage datamigration
datapipelines dataplex dataprep dataproc dataprocessing dataprocrm datastore datastream datastudio designcenter developerconnect
devicerun devicestreaming dialogflow discoveryengine dlp dns documentai domains dspm earlyaccesscenter earth earthengine edgecontainer
edgenetwork enterpriseknowledgegraph enterprisepurchasing errorreporting essentialcontacts eventarc externalexposure faulttesting
fcmdata file financialservices firebase firebaseabt firebaseanalytics firebaseappcheck firebaseappdistro firebaseapphosting
firebasecrash firebasecrashlytics firebasedatabase firebasedataconnect firebasedynamiclinks firebaseextensions
firebaseextensionspublisher firebasehosting firebaseinappmessaging firebasemessagingcampaigns firebaseml firebasenotifications
firebaseperformance firebasepredictions firebasestorage firebasevertexai fleetengine fpnv ftp gameservices gcp gdchardwaremanagement
geminicloudassist geminidataanalytics genomics gkebackup gkehub gkemulticloud gkeonprem gsuiteaddons health healthcare
hypercomputecluster ids integrations issuerswitch kubernetesmetadata licensemanager lifesciences livestream logging looker
lookerstudio lustre maintenance managedflink managedkafka mandiant mapsadmin mapsanalytics mapsplatformdatasets marketplacesolutions
mcp memcache memorystore meshconfig metastore migrationcenter ml modelarmor monitoring navigationconnect nestconsole netapp
networkconnectivity networkmanagement networksecurity networkservices notebooks observability ondemandscanning opsconfigmonitoring
oracledatabase osconfig parallelstore parametermanager paymentsresellersubscription policyanalyzer policysimulator prodactuation
proximitybeacon pubsub pubsublite readerrevenuesubscriptionlinking recaptchaenterprise recommender redis remotebuildexecution
resourcemanager resourcesettings retail riscconfigurationservice riskmanager rma roads routeoptimization run runapps runtimeconfig
saasconfig saasservicemgmt secretmanager securesourcemanager securitycenter securitycentermanagement servicebroker
serviceconsumermanagement servicedirectory servicehealth servicemanagement servicenetworking servicesecurityinsights serviceusage
source spanner speakerid speech stackdriver storage storagebatchoperations storageinsights storagetransfer stream
subscribewithgoogledeveloper telcoautomation telemetry threatdetection threatintelligence timeseriesinsights tpu trafficdirector
transcoder transferappliance translationhub vectorsearch videostitcher visionai visualinspection vmmigration vmwareengine vpcaccess
workflows workloadmanager workspacemarketplace workstations`)
