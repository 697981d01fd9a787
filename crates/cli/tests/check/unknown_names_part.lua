-- A module of an application's own.
return { anything = 1 }
