// Package access holds the nouns of the service and the rules that need nothing
// but the nouns: who (Principal, Caller), on what (Resource), what (Role,
// Entitlement), under which terms (Terms), the request, its decisions and the
// grant that results.
//
// It imports the standard library only and does no I/O. Every type that appears
// in the signature of a port of package broker lives here, so that adapters need
// to know nothing else. The text of IAM conditions passes through as an opaque,
// already canonical string; package condition knows what it means.
package access
