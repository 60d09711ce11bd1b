package ledger

import "errors"

// IsForeign is whether an error of Verify says that the key is not ours, now.
func IsForeign(err error) bool { return errors.Is(err, errForeignKey) }

// TextDigest is what an account signs of a text.
func TextDigest(text []byte) string { return textDigest(text) }
