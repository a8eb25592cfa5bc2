//! The macros that frozen structs, codes and tables of kinds are written with.
//!
//! Invariant: what they generate names every field and every variant of the domain type, so that one which is added there
//! does not compile until it has a place on the wire.

/// A frozen struct that mirrors a domain struct: `Wire = Domain { field: WireType, wire_field: WireType = domain_field }`.
macro_rules! frozen {
    ($(
        $(#[$attr:meta])*
        $wire:ident = $domain_type:ident { $($field:ident : $ty:ty $(= $domain:ident)?),* $(,)? }
    )+) => {$(
        $(#[$attr])*
        #[doc(hidden)]
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub(crate) struct $wire {
            $(pub(crate) $field: $ty,)*
        }

        impl $crate::wire::convert::Wire<$domain_type> for $wire {
            fn from_domain(domain: &$domain_type) -> Self {
                let $domain_type { $($($domain:)? $field),* } = domain;
                Self { $($field: <$ty as $crate::wire::convert::Wire<_>>::from_domain($field)),* }
            }

            fn into_domain(self) -> Result<$domain_type, $crate::wire::convert::Reject> {
                let Self { $($field),* } = self;
                $(
                    let $field = <$ty as $crate::wire::convert::Wire<_>>::into_domain($field)
                        .map_err(|reject| reject.within(stringify!($field)))?;
                )*
                Ok($domain_type { $($($domain:)? $field),* })
            }
        }
    )+};
}

/// An enumeration on the wire: a byte in binary, a word in JSON.
macro_rules! wire_enum {
    ($(
        $(#[$attr:meta])*
        $wire:ident $name:literal { $($variant:ident = $code:literal $text:literal),+ $(,)? }
    )+) => {$(
        $(#[$attr])*
        #[doc(hidden)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub(crate) enum $wire {
            $($variant = $code,)+
        }

        impl $wire {
            /// What the codes are of, each code, and the word that stands for it.
            #[cfg(test)]
            pub(crate) const CODES: $crate::wire::code::Codes = ($name, &[$(($code, $text)),+]);
        }

        impl serde::Serialize for $wire {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if !serializer.is_human_readable() {
                    return serializer.serialize_u8(*self as u8);
                }
                serializer.serialize_str(match self { $(Self::$variant => $text,)+ })
            }
        }

        impl<'de> serde::Deserialize<'de> for $wire {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if !deserializer.is_human_readable() {
                    return match u8::deserialize(deserializer)? {
                        $($code => Ok(Self::$variant),)+
                        other => Err(serde::de::Error::custom($crate::wire::code::unknown($name, other))),
                    };
                }
                match String::deserialize(deserializer)?.as_str() {
                    $($text => Ok(Self::$variant),)+
                    other => Err(serde::de::Error::custom($crate::wire::code::unknown($name, other))),
                }
            }
        }
    )+};
}

/// A [`wire_enum`] that mirrors a domain enum without data.
macro_rules! mirrored_enum {
    ($(
        $(#[$attr:meta])*
        $wire:ident = $domain:ident $name:literal { $($variant:ident = $code:literal $text:literal),+ $(,)? }
    )+) => {
        wire_enum! {$(
            $(#[$attr])*
            $wire $name { $($variant = $code $text),+ }
        )+}
        $(
            impl $crate::wire::convert::Wire<$domain> for $wire {
                fn from_domain(domain: &$domain) -> Self {
                    match domain { $($domain::$variant => Self::$variant,)+ }
                }

                fn into_domain(self) -> Result<$domain, $crate::wire::convert::Reject> {
                    Ok(match self { $(Self::$variant => $domain::$variant,)+ })
                }
            }
        )+
    };
}

/// The table of one class of kinds, and with it the newest frozen struct of each kind.
///
/// An entry is `number "name" Variant => Struct @ schema { fields }`, the fields as in [`frozen`]. When a kind gets its next
/// schema, the entry becomes that of the new struct; the old one is written out by hand with a `From` to the one that came
/// after it, and is named in brackets: `=> PodBoundV3 @ 3, older [PodBoundV1 @ 1 => PodBoundV2, PodBoundV2 @ 2 => PodBoundV3]`.
macro_rules! kinds {
    ($domain_type:ident as $class:ident; $(
        $(#[doc = $says:literal])+
        $number:literal $name:literal $variant:ident
            => $newest:ident @ $schema:literal $(, older [$($older:ident @ $older_schema:literal => $next:ident),+])?
            { $($field:ident : $ty:ty $(= $domain:ident)?),* $(,)? }
    )+) => {
        $(
            $(#[doc = $says])+
            #[doc(hidden)]
            #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
            pub(crate) struct $newest {
                $(pub(crate) $field: $ty,)*
            }

            impl $crate::wire::kind::Payload for $newest {
                fn into_event(self) -> Result<purser_engine::event::Event, $crate::wire::convert::Reject> {
                    let Self { $($field),* } = self;
                    $(
                        let $field = <$ty as $crate::wire::convert::Wire<_>>::into_domain($field)
                            .map_err(|reject| reject.within(stringify!($field)))?;
                    )*
                    Ok($domain_type::$variant { $($($domain:)? $field),* }.into())
                }
            }

            $($(
                impl $crate::wire::kind::Payload for $older {
                    fn into_event(self) -> Result<purser_engine::event::Event, $crate::wire::convert::Reject> {
                        $crate::wire::kind::Payload::into_event($next::from(self))
                    }
                }
            )+)?
        )+

        /// The kinds of this class, by number.
        pub(super) static KINDS: &[$crate::wire::kind::Kind] = &[$(
            $crate::wire::kind::Kind {
                number: $number,
                name: $name,
                class: $crate::wire::kind::Class::$class,
                says: concat!($($says),+),
                schemas: &[
                    $($($crate::wire::kind::Schema::of::<$older>($older_schema),)+)?
                    $crate::wire::kind::Schema::of::<$newest>($schema),
                ],
            },
        )+];

        /// The name of an event's kind.
        pub(super) const fn name(event: &$domain_type) -> &'static str {
            match event {$(
                $domain_type::$variant { .. } => $name,
            )+}
        }

        /// Encodes an event of this class in the newest schema of its kind.
        pub(super) fn encode(event: &$domain_type) -> Result<$crate::wire::Encoded, $crate::wire::WireError> {
            match event {$(
                $domain_type::$variant { $($($domain:)? $field),* } => {
                    let payload = $newest { $($field: <$ty as $crate::wire::convert::Wire<_>>::from_domain($field)),* };
                    $crate::wire::Encoded::of($number, $name, $schema, &payload)
                }
            )+}
        }
    };
}
