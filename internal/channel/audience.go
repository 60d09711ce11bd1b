package channel

import "jitaccess/internal/access"

// Personal is whether a notice is for those whom it names alone, and is told nowhere where
// others read along: that somebody's access ends soon, and what becomes of passkeys and
// applications.
func Personal(n access.Notice) bool {
	return n.Kind == access.NoticeEnding || n.Kind.OfPasskey() || n.Kind.OfApplication()
}
