//! Device selectors: CEL expressions about one device.
//!
//! **Invariant:** a selector says true, false, or why it can say neither.

use std::sync::{Arc, LazyLock};

use cel::{Context, Env, ExecutionError, Program, Value, extensions};

use super::values::{self, CelDevice, Domains};

/// The functions that an expression may use.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings).expect("declared once");
    env.add_extension(extensions::lists).expect("declared once");
    env.add_extension(values::extension).expect("declared once");
    Arc::new(env)
});

/// The longest expression. Source: resource.k8s.io/v1, `CELSelectorExpressionMaxLength`.
const MOST_BYTES: usize = 10 * 1024;

/// A device selector.
#[derive(Debug)]
pub(super) struct Selector(Program);

impl Selector {
    /// Reads an expression. What is wrong with it, if it can be told without a device, is said in one sentence.
    pub(super) fn new(expression: &str) -> Result<Self, String> {
        if expression.len() > MOST_BYTES {
            return Err(format!("the expression is longer than {MOST_BYTES} bytes"));
        }
        let program = ENV.compile(expression).map_err(|errors| errors.to_string())?;
        let selector = Self(program);
        // Names that nobody declared show on any device, as far as they are come to.
        let nothing = CelDevice {
            driver: String::new(),
            shared: false,
            attributes: Domains::default(),
            capacity: Domains::default(),
        };
        match selector.evaluate(&Subject::new(nothing)) {
            Err(error @ (ExecutionError::UndeclaredReference(_) | ExecutionError::NoSuchOverload(_))) => {
                Err(error.to_string())
            }
            Ok(Value::Bool(_)) | Err(_) => Ok(selector),
            Ok(_) => Err("the expression does not say true or false".to_owned()),
        }
    }

    /// Whether it takes a device; an error if it says neither.
    pub(super) fn takes(&self, device: &Subject) -> Result<bool, String> {
        match self.evaluate(device) {
            Ok(Value::Bool(takes)) => Ok(takes),
            Ok(_) => Err("the expression does not say true or false".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn evaluate(&self, device: &Subject) -> Result<Value, ExecutionError> {
        self.0.execute(&device.0)
    }
}

/// A device to evaluate selectors on.
pub(super) struct Subject(Context<'static, 'static>);

impl Subject {
    pub(super) fn new(device: CelDevice) -> Self {
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.add_variable_as_val("device", Box::new(device));
        Self(context)
    }
}
