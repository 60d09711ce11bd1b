package google

import (
	"net/http"
	"slices"
	"strconv"
)

// Pub/Sub: publishing, and whether one may,
// https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics.
var topicRoutes = []route{
	// A topic that does not exist answers as one on which nothing is allowed.
	{method: "POST", template: "/v1/projects/{project}/topics/{topic}:testIamPermissions", scopes: scopesPubSub, serve: func(c *Cloud, k *call) (any, error) {
		return c.testIamPermissions(k, c.nodes[topicName(k)])
	}},
	{method: "POST", template: "/v1/projects/{project}/topics/{topic}:publish", scopes: scopesPubSub, serve: (*Cloud).publish},
}

// Message is a message that was published.
type Message struct {
	Data        []byte            `json:"data"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	OrderingKey string            `json:"orderingKey,omitempty"`
	MessageID   string            `json:"messageId,omitempty"`
	PublishTime string            `json:"publishTime,omitempty"`
}

// Published returns what was published to a topic, projects/ID/topics/NAME, in
// order.
func (c *Cloud) Published(topic string) []Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.published[topic])
}

func topicName(k *call) string { return "projects/" + k.vars["project"] + "/topics/" + k.vars["topic"] }

func (c *Cloud) publish(k *call) (any, error) {
	var body struct {
		Messages []Message `json:"messages"`
	}
	if err := k.read(&body); err != nil {
		return nil, err
	}
	name := topicName(k)
	if !c.allowed(k.caller.member, "pubsub.topics.publish", name, c.now(), nil) {
		return nil, failure(http.StatusForbidden, "User not authorized to perform this action.")
	}
	if c.nodes[name] == nil {
		return nil, failure(http.StatusNotFound, "Resource not found (resource=%s).", k.vars["topic"])
	}
	if len(body.Messages) == 0 {
		return nil, invalid("The value for message_count is too small. You passed 0 in the request, but the minimum value is 1.")
	}
	ids := []string{}
	for _, m := range body.Messages {
		if len(m.Data) == 0 && len(m.Attributes) == 0 {
			return nil, invalid("One or more messages in the publish request is empty. Each message must contain either non-empty data, or at least one attribute.")
		}
		m.MessageID = strconv.Itoa(1 + len(c.published[name]))
		m.PublishTime = timestamp(c.now())
		c.published[name] = append(c.published[name], m)
		ids = append(ids, m.MessageID)
	}
	return map[string]any{"messageIds": ids}, nil
}
