//! Stands in for the agents that the other examples call: one component, deployed under each of their names.

use countersign_sdk::agent;

#[agent(name = "stand-ins", version = "1.0.0")]
mod stand_ins {
    use countersign_sdk::{Error, data, note};

    /// What was not deployed.
    #[data]
    struct Deployment {
        url: String,
    }

    /// What was not sent.
    #[data]
    struct Receipt {
        bytes: usize,
    }

    /// What was not bought.
    #[data]
    struct Order {
        order: String,
        item: String,
        cents: u64,
    }

    /// What was not paid.
    #[data]
    struct Refund {
        cents: u64,
    }

    /// As `orders.find`: every order is for the same tent.
    #[function]
    async fn find(order: String) -> Result<Order, Error> {
        Ok(Order { order, item: "tent".to_owned(), cents: 4900 })
    }

    /// As `payments.refund`: notes what would be paid.
    #[function]
    async fn refund(order: String, cents: u64) -> Result<Refund, Error> {
        note!("would pay {cents} cents for {order}");
        Ok(Refund { cents })
    }

    /// As `deployer.deploy`: notes what would be deployed.
    #[function]
    async fn deploy(service: String, version: String) -> Result<Deployment, Error> {
        note!("would deploy {service} {version}");
        Ok(Deployment { url: format!("https://{service}.example.com/{version}") })
    }

    /// As `mailer.send`: notes what would be sent.
    #[function]
    async fn send(to: String, subject: String, body: String) -> Result<Receipt, Error> {
        note!("would send {subject:?} to {to}");
        Ok(Receipt { bytes: body.len() })
    }
}

#[cfg(test)]
mod tests {
    use countersign_sdk::{json, testing};

    use super::stand_ins::Agent;

    #[test]
    fn it_takes_what_the_examples_give() {
        let trace = testing::start(Agent, "deploy", json!({"service": "shop", "version": "2.1.0"})).finish();
        assert_eq!(trace.result, Ok(json!({"url": "https://shop.example.com/2.1.0"})));
        let trace = testing::start(Agent, "send", json!({"to": "ann", "subject": "Hi", "body": "Hello"})).finish();
        assert_eq!(trace.result, Ok(json!({"bytes": 5})));
        assert_eq!(trace.log, ["would send \"Hi\" to ann"]);
    }
}
