// Go's amqp091-go, run from source: go run with_amqp091.go SCENARIO
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	replyTo  = "amq.rabbitmq.reply-to"
	deadline = 10 * time.Second
)

type scenario struct {
	Exchange      string
	Queue         string
	BindingKey    string `json:"binding_key"`
	RoutingKey    string `json:"routing_key"`
	UnroutableKey string `json:"unroutable_key"`
	MissingQueue  string `json:"missing_queue"`
	Question      string
	Answer        string
	Body          string
	Properties    map[string]interface{}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func tell(what ...interface{}) {
	line, err := json.Marshal(what)
	must(err)
	fmt.Println(string(line))
}

// JSON's objects as tables, and whole numbers as such.
func table(value interface{}) interface{} {
	switch value := value.(type) {
	case map[string]interface{}:
		found := amqp.Table{}
		for key, each := range value {
			found[key] = table(each)
		}
		return found
	case []interface{}:
		found := make([]interface{}, len(value))
		for at, each := range value {
			found[at] = table(each)
		}
		return found
	case float64:
		return int64(value)
	}
	return value
}

func next(deliveries <-chan amqp.Delivery) amqp.Delivery {
	select {
	case delivery := <-deliveries:
		return delivery
	case <-time.After(deadline):
		log.Fatal("nothing came")
	}
	panic("unreachable")
}

func confirmed(confirms <-chan amqp.Confirmation) {
	if confirm := <-confirms; !confirm.Ack {
		log.Fatal("refused")
	}
}

func connected() (*amqp.Connection, error) {
	var settings *tls.Config
	if ca := os.Getenv("AMQP_CA"); ca != "" {
		pem, err := os.ReadFile(ca)
		must(err)
		settings = &tls.Config{RootCAs: x509.NewCertPool()}
		settings.RootCAs.AppendCertsFromPEM(pem)
	}
	return amqp.DialTLS(os.Getenv("AMQP_URL"), settings)
}

// What a program does around its connection when the broker may go away.
func restart(play scenario) {
	send := func(channel *amqp.Channel, confirms <-chan amqp.Confirmation, body string) {
		message := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)}
		must(channel.Publish("", play.Queue, true, false, message))
		confirmed(confirms)
		tell("confirmed")
	}
	for isWaiting := false; ; isWaiting = true {
		connection, err := connected()
		for ; err != nil; connection, err = connected() {
			time.Sleep(100 * time.Millisecond)
		}
		channel, err := connection.Channel()
		must(err)
		must(channel.Confirm(false))
		confirms := channel.NotifyPublish(make(chan amqp.Confirmation, 16))
		_, err = channel.QueueDeclare(play.Queue, true, false, false, false, nil)
		must(err)
		if !isWaiting {
			send(channel, confirms, play.Body)
		}
		deliveries, err := channel.Consume(play.Queue, "mine", false, false, false, false, nil)
		must(err)
		delivery := next(deliveries)
		if isWaiting {
			tell("came back", string(delivery.Body))
			must(delivery.Ack(false))
			send(channel, confirms, play.Answer)
			must(connection.Close())
			return
		}
		tell("waiting", string(delivery.Body))
		for range deliveries { // closed when the connection is lost
		}
	}
}

func main() {
	file, err := os.ReadFile(os.Args[1])
	must(err)
	var play scenario
	must(json.Unmarshal(file, &play))
	if len(os.Args) > 2 {
		restart(play)
		return
	}
	connection, err := connected()
	must(err)
	channel, err := connection.Channel()
	must(err)
	must(channel.Confirm(false))
	confirms := channel.NotifyPublish(make(chan amqp.Confirmation, 16))
	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	must(channel.ExchangeDeclare(play.Exchange, "topic", true, false, false, false, nil))
	queue, err := channel.QueueDeclare(play.Queue, true, false, false, false, nil)
	must(err)
	must(channel.QueueBind(play.Queue, play.BindingKey, play.Exchange, false, nil))
	tell("declared", queue.Messages, queue.Consumers)

	text := func(name string) string { return play.Properties[name].(string) }
	number := func(name string) int64 { return int64(play.Properties[name].(float64)) }
	must(channel.Publish(play.Exchange, play.RoutingKey, true, false, amqp.Publishing{
		ContentType: text("content_type"), ContentEncoding: text("content_encoding"),
		Headers:      table(play.Properties["headers"]).(amqp.Table),
		DeliveryMode: uint8(number("delivery_mode")), Priority: uint8(number("priority")),
		CorrelationId: text("correlation_id"), ReplyTo: text("reply_to"), Expiration: text("expiration"),
		MessageId: text("message_id"), Timestamp: time.Unix(number("timestamp"), 0), Type: text("type"),
		UserId: text("user_id"), AppId: text("app_id"), Body: []byte(play.Body),
	}))
	confirmed(confirms)
	tell("confirmed")

	deliveries, err := channel.Consume(play.Queue, "mine", false, false, false, false, nil)
	must(err)
	first := next(deliveries)
	tell("received", first.Exchange, first.RoutingKey, first.Redelivered, string(first.Body), map[string]interface{}{
		"content_type": first.ContentType, "content_encoding": first.ContentEncoding, "headers": first.Headers,
		"delivery_mode": first.DeliveryMode, "priority": first.Priority, "correlation_id": first.CorrelationId,
		"reply_to": first.ReplyTo, "expiration": first.Expiration, "message_id": first.MessageId,
		"timestamp": first.Timestamp.Unix(), "type": first.Type, "user_id": first.UserId, "app_id": first.AppId,
	})
	must(first.Nack(false, true))
	second := next(deliveries)
	tell("received again", second.Redelivered)
	must(second.Ack(false))
	must(channel.Cancel("mine", false))

	replies, err := channel.Consume(replyTo, "", true, false, false, false, nil)
	must(err)
	ask := amqp.Publishing{ReplyTo: replyTo, Body: []byte(play.Question)}
	must(channel.Publish("", play.Queue, false, false, ask))
	confirmed(confirms)
	question, _, err := channel.Get(play.Queue, true)
	must(err)
	must(channel.Publish("", question.ReplyTo, false, false, amqp.Publishing{Body: []byte(play.Answer)}))
	tell("answer", string(next(replies).Body))

	must(channel.Publish(play.Exchange, play.UnroutableKey, true, false, amqp.Publishing{}))
	returned := <-returns
	tell("returned", returned.ReplyCode, returned.RoutingKey)
	if _, err = channel.QueueDeclarePassive(play.MissingQueue, true, false, false, false, nil); err != nil {
		tell("closed", err.(*amqp.Error).Code)
	}
	must(connection.Close())
}
