package roles

// For tests.
var (
	ChangesPermissions = changesPermissions
	Changes            = changes
)
