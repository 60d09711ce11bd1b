package channel

import "jitaccess/internal/access"

// Personal is whether a notice is for those whom it is for alone, and is told where others
// read along by nobody: that somebody's access ends soon, and what becomes of a passkey.
func Personal(n access.Notice) bool { return n.Kind == access.NoticeEnding || n.Kind.OfPasskey() }
