package access

// Names of form fields, as Error.Field, the pages and the JSON interface use them.
const (
	FieldResource      = "resource"
	FieldEntitlement   = "entitlement"
	FieldJustification = "justification"
	FieldDuration      = "minutes"
	FieldStart         = "start"
	FieldReviewer      = "reviewer"
	FieldID            = "id"
	FieldComment       = "comment"
	FieldVerdict       = "verdict"
)
