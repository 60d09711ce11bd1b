package chat

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const programName = "Webhook"

// webhookTolerance is by how much the time of an attempt may differ from that of the receiver.
const webhookTolerance = 5 * time.Minute

// program listens to webhooks, and takes what is signed as Standard Webhooks has it, once.
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
func (c *Chats) program(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	id, at := r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	key := hmac.New(sha256.New, c.o.WebhookKey)
	key.Write([]byte(id + "." + at + "." + string(body)))
	right, signed := "v1,"+base64.StdEncoding.EncodeToString(key.Sum(nil)), false
	for _, each := range strings.Fields(r.Header.Get("Webhook-Signature")) {
		signed = signed || hmac.Equal([]byte(each), []byte(right))
	}
	var said struct{ Type string }
	var shown bytes.Buffer
	switch {
	case r.Method != http.MethodPost:
		answer(w, http.StatusMethodNotAllowed, object{"error": "webhooks are posted"})
	case err != nil || c.o.Now().Sub(time.Unix(seconds, 0)).Abs() > webhookTolerance || id == "" || !signed:
		answer(w, http.StatusUnauthorized, object{"error": "the signature does not hold"})
	case !isJSON(r) || json.Unmarshal(body, &said) != nil || said.Type == "" || json.Indent(&shown, body, "", "  ") != nil:
		answer(w, http.StatusBadRequest, object{"error": "there is no type"})
	default:
		w.WriteHeader(http.StatusNoContent)
		if c.find(programName, id) == nil {
			c.add(&Message{Service: programName, Place: "a program that listens", Name: id, Notification: said.Type, Title: said.Type,
				Lines: []string{shown.String()}, Raw: body})
		}
	}
}
