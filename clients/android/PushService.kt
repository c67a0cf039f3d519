// Receives data messages, also while the app does not run. Declare it in the manifest for the action
// com.google.firebase.MESSAGING_EVENT.
package com.example.securepush

import android.content.Context
import androidx.work.BackoffPolicy
import androidx.work.Constraints
import androidx.work.ExistingWorkPolicy
import androidx.work.NetworkType
import androidx.work.OneTimeWorkRequestBuilder
import androidx.work.WorkManager
import androidx.work.Worker
import androidx.work.WorkerParameters
import androidx.work.workDataOf
import com.google.firebase.messaging.FirebaseMessagingService
import com.google.firebase.messaging.RemoteMessage
import java.util.concurrent.TimeUnit

class PushService : FirebaseMessagingService() {

    /** Runs on a thread of its own and may take about 20 seconds, which a fetch does not reach. */
    override fun onMessageReceived(message: RemoteMessage) {
        val id = message.data["secureId"] ?: return
        val client = securePush(this)
        val fetched = client.fetch(id)
        client.show(id, fetched)
        // No network now: WorkManager waits for one, also over a restart of the phone.
        if (fetched == Fetched.Unavailable) fetchLater(this, id)
    }

    override fun onNewToken(token: String) = enqueue<RegisterWorker>(this, "register", token)
}

class FetchWorker(context: Context, parameters: WorkerParameters) : Worker(context, parameters) {
    override fun doWork(): Result {
        val id = inputData.getString(INPUT) ?: return Result.failure()
        val client = securePush(applicationContext)
        val fetched = client.fetch(id)
        if (fetched == Fetched.Unavailable) return Result.retry()
        client.show(id, fetched) // it replaces the generic text
        return Result.success()
    }
}

class RegisterWorker(context: Context, parameters: WorkerParameters) : Worker(context, parameters) {
    override fun doWork(): Result {
        val token = inputData.getString(INPUT) ?: return Result.failure()
        return if (securePush(applicationContext).register(token)) Result.success() else Result.retry()
    }
}

private const val INPUT = "input"

private fun fetchLater(context: Context, id: String) = enqueue<FetchWorker>(context, "fetch $id", id)

private inline fun <reified W : Worker> enqueue(context: Context, name: String, input: String) {
    val request = OneTimeWorkRequestBuilder<W>()
        .setInputData(workDataOf(INPUT to input))
        .setConstraints(Constraints.Builder().setRequiredNetworkType(NetworkType.CONNECTED).build())
        .setBackoffCriteria(BackoffPolicy.EXPONENTIAL, 30, TimeUnit.SECONDS)
        .build()
    WorkManager.getInstance(context).enqueueUniqueWork(name, ExistingWorkPolicy.REPLACE, request)
}

/** Replace it with your app's own: the token comes from its identity library (MSAL, AppAuth). */
private fun securePush(context: Context) = SecurePush(context.applicationContext) { TokenSource.current?.invoke() }

object TokenSource {
    /** Set it in Application.onCreate, which also runs before a push is handled. */
    @Volatile var current: (() -> String?)? = null
}
