package access

import "time"

// LinkLife is how long a link to a request is good for at most, counted from when
// the request was made: Google publishes the key of a signature for six hours after
// its last use
// (https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts.keys).
// LinkSkew is how far the clock of whoever made the link may be ahead of ours.
const (
	LinkLife = 6 * time.Hour
	LinkSkew = time.Minute
)
