// Package google is a Google Cloud that fits in one process: one organization with
// people, groups, folders and projects, and the few APIs through which its access
// is managed, true on the wire to Google's client libraries and to gcloud.
//
// It is written from Google's documentation and knows nothing of the product that
// is tried against it: it imports none of its packages and evaluates conditions
// with cel-go itself. It enforces what Google enforces (tokens and their scopes,
// permissions, etags, policy versions, condition syntax, grantable roles, limits),
// and can be made to fail through Faults and the control API.
//
// What only the real Google could tell is chosen here, not known: the order in
// which refusals are checked, and the words of those refusals whose text Google
// does not publish.
package google
