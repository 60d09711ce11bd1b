package mailbox

import (
	"strings"
	"testing"
)

// Lists are followed as the client takes a line apart, and no deeper than anything that is asked for.
func TestListsInWhatAServerSays(t *testing.T) {
	deep := strings.Repeat("(", 30)
	hidden := "\r\n* 1 FETCH (UID 1 BODY[] {9000000}\r\n" // what seems to be a mail
	for said, want := range map[string]bool{
		"* 1 FETCH (UID 1 BODY[]<0> {30}\r\n" + deep + ")\r\nT1 OK\r\n":  true,  // of a mail
		"* 1 FETCH (UID 1 BODY[]<0> {30}\r\n" + deep + " (((\r\n" + deep: false, // behind it
		"* 1 FETCH (UID 1 BODY[]<0> {10}\r\n" + deep:                     false, // longer than it
		"* 1 FETCH (UID 1 BODY[] \"" + deep + "\")\r\n":                  true,
		"* 1 FETCH (UID 1 BODY[] \"" + deep + "\\\"" + deep + "\")\r\n":  true,
		"* 1 FETCH (UID 1 BODY[] \"x\\\\\" " + deep:                      false,
		"* 1 FETCH (UID 1 BODY[] \"x\r\n" + deep + "\"":                  false, // no quoted text has a line break
		"* 1 FETCH (BODYSTRUCTURE " + deep:                               false,
		"* OK that is {30}\r\n" + deep:                                   false, // no literal
		"* LIST () {30}\r\n" + deep:                                      false,
		"* 1 FETCHED {30}\r\n" + deep:                                    false,
		"* x FETCH ({30}\r\n" + deep:                                     false,
		"* 1 FETCH ({30 }\r\n" + deep:                                    false,
		"* 1 FETCH ({99999999999999999999}\r\n" + deep:                   false,
		// Whatever the client takes for the rest of a line, which began elsewhere.
		"* 0000000000000000000001 FETCH (UID 1 BODY[] {1}\r\n\" BODYSTRUCTURE " + deep: false,
		"* 1 FETCH(UID 1 BODY[] {1}\r\n\" BODYSTRUCTURE " + deep:                       false,
		"* 1 FETCH (UID 1 BODY[] {1}\n\" BODYSTRUCTURE " + deep:                        false,
		"* 1 FETCH (UID 1 BODY[] {1} \r\n\" BODYSTRUCTURE " + deep:                     false,
		"* 1 FETCH (UID 1 BODY[] {37}" + hidden[1:] + " BODYSTRUCTURE " + deep:         false,
		"* LIST () \"/\" \"x" + hidden + "\"\r\n* 1 FETCH (BODYSTRUCTURE " + deep:      false,
		"* LIST () \"/\" {50}" + hidden + "         \r\n* 1 FETCH (" + deep:            false,
		"* LIST () \"/\" {50} " + hidden + "         \r\n* 1 FETCH (" + deep:           false,
		"* OK [X y" + hidden + "]\r\n* 1 FETCH (BODYSTRUCTURE " + deep:                 false,
		"* 1 OK [X y" + hidden + "]\r\n* 1 FETCH (BODYSTRUCTURE " + deep:               false,
		"* 00000000000000000000000000000000001 OK [X y" + hidden + "] " + deep:         false,
		"T1 OK [X y" + hidden + "]\r\n* 1 FETCH (BODYSTRUCTURE " + deep:                false,
		"* 0 EXISTS\r\n* 4294967295 recent\r\n* 1 EXPUNGE\r\n":                         true,
		"* OK [UIDNEXT 4] see [1\r\n+ [\r\n":                                           true,
		"* OK 5\" wide\r\n* 1 FETCH (FLAGS ())\r\n":                                    true,
		strings.Repeat("* 1 FETCH (FLAGS (\\Seen))\r\n", 100):                          true,
		strings.Repeat("* OK (\r\n", 100):                                              true, // text for people
	} {
		for _, step := range []int{1, 7, len(said)} { // in whatever pieces it comes
			var d depth
			got := true
			for rest := said; rest != "" && got; rest = rest[min(step, len(rest)):] {
				got = d.keeps([]byte(rest[:min(step, len(rest))]))
			}
			if got != want {
				t.Errorf("%.60q in pieces of %d: %v", said, step, got)
			}
		}
	}
}
