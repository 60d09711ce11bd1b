package teams

import (
	"bytes"
	"cmp"
	"strconv"

	"jitaccess/internal/channel"
)

// refusal is the code of an answer. The workflow takes messages with 202. What was before it
// answered 200 with an error in the text.
func refusal(a channel.Answer) string {
	var answer struct {
		Error *struct{ Code string }
	}
	readable := a.JSON(&answer)
	switch {
	case readable && answer.Error != nil:
		return cmp.Or(answer.Error.Code, strconv.Itoa(a.Status))
	case a.Status/100 != 2:
		return strconv.Itoa(a.Status)
	case bytes.Contains(a.Body, []byte("HTTP error 429")):
		return channel.TooMany
	case bytes.Contains(a.Body, []byte("delivery failed")) || bytes.Contains(a.Body, []byte("HTTP error")):
		return "delivery failed"
	case bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("<")):
		return channel.Unreadable
	}
	return ""
}

var explanations = []channel.Explanation{
	{Codes: []string{"WorkflowTriggerIsNotEnabled", "WorkflowNotFound", "404", "410"}, Meaning: "The workflow is " +
		"turned off, or was removed.",
		Remedy: "Turn it on, or make it anew: Teams, Workflows. It ends with the account of who made it, so name a second owner."},
	{Codes: []string{"DirectApiAuthorizationRequired", "InvalidSignature", "AuthorizationFailed", "401", "403"},
		Meaning: "The workflow takes messages from signed-in people alone, or the address is not whole.",
		Remedy:  "Let anyone trigger it: Workflows, the trigger, Who can trigger the flow?; and copy the whole address, with sig."},
	{Codes: []string{"TriggerInputSchemaMismatch", "InvalidRequestContent", "400", "413", "delivery failed"},
		Meaning: "The workflow does not take a message of this form.",
		Remedy: "See that it is made of the template that posts to a channel, or a chat, when a webhook request is " +
			"received, and that its trigger has no schema of its own."},
	{Codes: []string{"WorkflowRunThrottled"}, Meaning: "The workflow was started too often.",
		Remedy: "With a ledger it is sent again by itself."},
}
