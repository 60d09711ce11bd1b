package doctor

// Gcloud is a command to run, for tests.
var Gcloud = gcloud
