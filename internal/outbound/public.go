package outbound

// NotPublic is the error of connecting to an address that is not of the Internet, where that
// is not to be.
type NotPublic struct{ Address string }

func (e NotPublic) Error() string {
	return e.Address + " is not a public address: nothing is sent there"
}
