package channel_test

import (
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/words"
)

// Cards are in the language of the deployment; testdata/told-TAG.txt has how a request and a
// decision look in each chat.
func TestChatsSpeakTheLanguageOfTheDeployment(t *testing.T) {
	for _, c := range words.Choices()[1:] {
		var all strings.Builder
		for _, k := range kinds {
			for _, n := range everything() {
				if n.Kind != access.NoticeReview && n.Kind != access.NoticeApproved {
					continue
				}
				w := newWorld(t)
				w.language = words.Tagged(c.Tag)
				if failed := k.make(w).Notify(within(t), n).Failed(); failed != nil {
					t.Fatalf("%s in %s: %v", n.Kind, k.name, failed)
				}
				for _, m := range w.Messages() {
					all.WriteString(k.name + ", " + string(n.Kind) + ":\n" + text(m) + "\n")
				}
			}
		}
		compare(t, "testdata/told-"+c.Tag+".txt", all.String())
	}
}
