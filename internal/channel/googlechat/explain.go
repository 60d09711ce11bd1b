package googlechat

import (
	"cmp"
	"strconv"

	"jitaccess/internal/channel"
)

// refusal is the code of an answer that has an error in it, as Google's APIs have them.
func refusal(a channel.Answer) string {
	var answer struct {
		Error *struct{ Status string }
	}
	readable := a.JSON(&answer)
	switch {
	case readable && answer.Error != nil && answer.Error.Status == "RESOURCE_EXHAUSTED":
		return channel.TooMany
	case readable && answer.Error != nil:
		return cmp.Or(answer.Error.Status, strconv.Itoa(a.Status))
	case a.Status/100 != 2:
		return strconv.Itoa(a.Status)
	case !readable:
		return channel.Unreadable
	}
	return ""
}

var explanations = []channel.Explanation{
	{Codes: []string{"UNAUTHENTICATED", "401"}, Meaning: "The address of the webhook has a key or a token that is none.",
		Remedy: "Copy the address anew: in the space, its name, Apps & integrations, Webhooks, and store all of it, with key and token."},
	{Codes: []string{"PERMISSION_DENIED", "403"}, Meaning: "The webhook may not post in the space, or was removed.",
		Remedy: "See in the space, Apps & integrations, Webhooks, whether it is there, and whether administrators " +
			"let people add apps to spaces."},
	{Codes: []string{"NOT_FOUND", "404"}, Meaning: "There is no such space, or no such webhook any more.",
		Remedy: "Add a webhook to the space, Apps & integrations, Webhooks, and store its address."},
	{Codes: []string{"INVALID_ARGUMENT", "FAILED_PRECONDITION", "400"}, Meaning: "Google Chat does not take a message of this form.",
		Remedy: "If the address of the webhook is whole, this is a fault of this service; tell those who make it."},
	{Codes: []string{"UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED"}, Meaning: "Google Chat has a fault of its own.",
		Remedy: "With a ledger it is sent again by itself. See https://www.google.com/appsstatus if it goes on."},
}
