package access

import "time"

// MaxPage is the most that one page of a list holds.
const MaxPage = 50

// Listing asks for requests that are remembered, the newest first.
type Listing struct {
	// Viewer and View are whose list it is and which: a cursor is good for the list that
	// it was given out with, and for no other.
	Viewer Principal
	View   string
	// Principal, Reviewer and Resource choose, where they are set: requests of somebody,
	// requests that somebody was asked to decide, requests for a resource. States choose
	// by what is remembered; empty is any.
	Principal, Reviewer Principal
	Resource            Resource
	States              []State
	// Unreviewed chooses broken glasses that nobody has reviewed (Request.Unreviewed).
	// Reviewer is empty then.
	Unreviewed bool
	// Role and Words choose further: requests with the role, requests whose reason has
	// the words in it, whatever the case of ASCII letters.
	Role  Role
	Words string
	// From and To bound when it was made, [From, To); zero bounds nothing.
	From, To time.Time
	// After is the Next of the page before; empty begins.
	After string
	// Max is how many are wanted; 0, and what is more than MaxPage, mean that.
	Max int
	// Attest asks that each request is held against what is signed of it
	// (Request.Attestation).
	Attest bool
}

// Attestation is what a list says of whether a request is as it was recorded. Requests that are
// missing in a list are not noticed.
type Attestation string

// Attestations.
const (
	// Signed: what the list has of it is what entries say that a key of ours has signed.
	Signed Attestation = "signed"
	// SignedElsewhere: as Signed, but another key than those of now has signed some of it.
	SignedElsewhere Attestation = "unattested"
	// Altered: it is not what was recorded, or nobody has signed it.
	Altered Attestation = "damaged"
	// PartlyErased: personal data was erased, so that what is left cannot be held against it.
	PartlyErased Attestation = "erased"
	// Unlooked: it could not be found out now.
	Unlooked Attestation = "unknown"
)

// Listed is a page of a list.
type Listed struct {
	// Requests are what a list needs, and decide nothing: what is to be acted on is
	// opened. Of what was erased only id, kind, state, resource and version are there.
	Requests []Request
	// Next asks for the page after; empty where this was the last. A page may have fewer
	// requests than asked for, even none, and a Next all the same: the list was looked
	// through for a while, and what was sought may still come.
	Next string
}

// Count is how many requests of a list were made on a day, which begins at Day in UTC, and
// are in a state, as it was recorded.
type Count struct {
	Day      time.Time
	State    State
	Requests int
}

// Past is what somebody asked for on a resource in a time before a moment: how often they had
// access, the day on which they last asked for what they had, in UTC, and how often they were
// denied. Last is zero where they had none.
type Past struct {
	Had, Denied int
	Last        time.Time
}

// Due is a request for which something is to be done.
type Due struct {
	ID    string
	State State
	// At is when it became due.
	At time.Time
}

// Besides begins the IDs of notices that are told besides people's mail: to the application that
// asked, and to channels that hear of everything. What keeps one of those waiting must not keep
// people waiting.
const Besides = "besides-"

// Message is something that people are to be told, kept until they have been.
type Message struct {
	// ID is the Notice's.
	ID     string
	Notice Notice
	// Made is when it was recorded; Attempts is how often it was tried before.
	Made     time.Time
	Attempts int
	// Lease is who may send it now; it goes back with Sent and Unsent.
	Lease string
}

// Head stands for everything that had been recorded by a moment. Computed again later,
// it is the same, or something was taken away or put in since.
type Head struct {
	At time.Time
	// Requests and Events count.
	Requests, Events int
	Digest           string
}
