package channel

import "jitaccess/internal/access"

// Personal is whether a notice is for those whom it names alone, and is told nowhere where
// others read along: that somebody's access ends soon, what becomes of passkeys and
// applications, in what access differs from what is remembered, and that a mail came back, which
// anybody may have written who has seen one.
func Personal(n access.Notice) bool {
	return n.Kind == access.NoticeEnding || n.Kind == access.NoticeBounced || n.Kind.OfPasskey() || n.Kind.OfApplication() ||
		n.Kind == access.NoticeReconciled
}
