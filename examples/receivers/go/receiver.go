// Receives callbacks in Go: `go run .`
package main

import (
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

type event struct {
	ID          string `json:"id"`
	CallerID    string `json:"callerId"`
	CallbackURL string `json:"callbackUrl"`
	Data        struct {
		CorrelationID *string `json:"correlationId"`
		Status        string  `json:"status"`
	} `json:"data"`
}

type receiver struct {
	url     string // as it stands in your submissions
	caller  string // clr_…, the caller that you submit as
	webhook *standardwebhooks.Webhook
	keeping sync.Mutex
}

func main() {
	webhook, err := standardwebhooks.NewWebhook(setting("CALLBACK_SECRET")) // whsec_…
	if err != nil {
		log.Fatal(err)
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "9000"
	}
	for _, folder := range []string{"inbox", "done"} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			log.Fatal(err)
		}
	}
	ours := &receiver{url: setting("CALLBACK_URL"), caller: setting("CALLER_ID"), webhook: webhook}
	go workOff()
	http.Handle("POST /callbacks", ours)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, nil))
}

func setting(name string) string {
	value := os.Getenv(name)
	if value == "" {
		log.Fatalf("%s is not set", name)
	}
	return value
}

func (ours *receiver) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	// The bytes as they came: JSON that was parsed and written again would not verify.
	body, err := io.ReadAll(http.MaxBytesReader(writer, request.Body, 4<<20))
	if err != nil {
		http.Error(writer, "too large, or it broke off", http.StatusBadRequest)
		return
	}
	var found event
	if ours.webhook.Verify(body, request.Header) != nil || json.Unmarshal(body, &found) != nil ||
		found.CallerID != ours.caller || found.CallbackURL != ours.url {
		http.Error(writer, "not signed for this receiver", http.StatusUnauthorized)
		return
	}
	if err := ours.keep(found.ID, body); err != nil {
		log.Print(err) // and it comes again
		http.Error(writer, "could not be kept", http.StatusInternalServerError)
		return
	}
	writer.WriteHeader(http.StatusNoContent)
}

// keep has it safe on disk when it returns; an id that is there already changes nothing.
//
// The inbox is a file for each event, which is moved from one folder to the other when its work is
// done; in real life a table of your database, with a unique id.
func (ours *receiver) keep(id string, body []byte) error {
	if strings.ContainsAny(id, `/\.`) {
		return errors.New("the id can't be a file's name")
	}
	ours.keeping.Lock() // of two repetitions at the same time the second sees the first
	defer ours.keeping.Unlock()
	for _, folder := range []string{"inbox", "done"} {
		if _, err := os.Stat(filepath.Join(folder, id+".json")); err == nil {
			return nil
		}
	}
	part := filepath.Join("inbox", id+".part")
	file, err := os.Create(part)
	if err != nil {
		return err
	}
	_, err = file.Write(body)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(part, filepath.Join("inbox", id+".json")); err != nil {
		return err
	}
	folder, err := os.Open("inbox")
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// workOff does what is kept and not done; what fails is tried again a second later.
func workOff() {
	for ; ; time.Sleep(time.Second) {
		kept, _ := filepath.Glob("inbox/*.json")
		for _, name := range kept {
			if err := workOn(name); err != nil {
				log.Printf("%s is not done: %v", name, err)
			}
		}
	}
}

func workOn(name string) error {
	body, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var found event
	if err := json.Unmarshal(body, &found); err != nil {
		return err
	}
	if err := work(found); err != nil {
		return err
	}
	return os.Rename(name, filepath.Join("done", filepath.Base(name))) // only now
}

// work is yours. It may take long. A crash before "done" repeats it, so let it bear that.
func work(found event) error {
	orders, err := os.OpenFile("orders.jsonl", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = json.NewEncoder(orders).Encode(map[string]any{
		"id": found.ID, "order": found.Data.CorrelationID, "status": found.Data.Status,
	})
	return errors.Join(err, orders.Close())
}
